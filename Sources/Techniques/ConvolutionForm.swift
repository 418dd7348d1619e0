import LinearAlgebra
import ModelGraph

/// Strides, dilations and padding of a convolution, axis by axis, so that a chain of convolutions over single axes can share them out.
package struct ConvolutionForm {
    package let kernel: [Int]
    private let strides: [Int]?
    private let dilations: [Int]?
    private let pads: [Int]?
    private let automatic: String?

    package init(_ layer: Layer, node: Node) {
        kernel = Array(layer.weightShape.dropFirst(2))
        let axes = kernel.count
        func given(_ name: String, _ count: Int) -> [Int]? { node.ints(name).flatMap { $0.count == count ? $0 : nil } }
        strides = given("strides", axes)
        dilations = given("dilations", axes)
        pads = given("pads", 2 * axes)
        automatic = node.string("auto_pad").flatMap { $0 == "NOTSET" ? nil : $0 }
    }

    /// Axes along which the kernel has more than one element.
    package var wideAxes: [Int] { kernel.indices.filter { kernel[$0] > 1 } }

    /// A convolution whose kernel reaches along `axes` only, with this one's strides, dilations and padding there and none elsewhere.
    /// - Parameter stepping: further axes whose strides and padding it takes.
    package func convolution(along axes: [Int], stepping: [Int] = [], group: Int = 1) -> Node {
        let mine = Set(axes + stepping)
        func own(_ values: [Int]?, _ neutral: Int) -> AttributeValue? {
            values.map { values in .integers(values.indices.map { mine.contains($0 % kernel.count) ? values[$0] : neutral }) }
        }
        var node = Node("Conv", inputs: [], outputs: [])
        node.set("kernel_shape", .integers(kernel.indices.map { axes.contains($0) ? kernel[$0] : 1 }))
        node.set("strides", own(strides, 1))
        node.set("dilations", own(dilations, 1))
        // Where nothing steps and the kernel has one element, SAME pads nothing.
        node.set("auto_pad", automatic.map(AttributeValue.text))
        if automatic == nil { node.set("pads", own(pads, 0)) }
        if group > 1 { node.set("group", .integer(group)) }
        return node
    }

    /// A convolution of single positions, over so many spatial axes.
    package static func pointwise(axes: Int) -> Node {
        var node = Node("Conv", inputs: [], outputs: [])
        node.set("kernel_shape", .integers([Int](repeating: 1, count: axes)))
        return node
    }

    /// Why a layer is no convolution whose kernel can be factorized; `nil` if it is.
    package static func refusal(for layer: Layer, in model: Model, transposed: Bool = false, groups: Bool = false) -> String? {
        guard layer.isFloat else { return "its weights are already quantized" }
        guard layer.kind == .conv || (transposed && layer.kind == .convTranspose) else { return "not a convolution" }
        guard let graph = model.graph[layer.path], graph.nodes.indices.contains(layer.nodeIndex) else { return "its graph is gone" }
        let node = graph.nodes[layer.nodeIndex]
        guard node.isStandard(layer.opType), node.input(1) == layer.weight else { return "a fused \(layer.opType) cannot be split" }
        guard layer.weightShape.count >= 3, layer.weightShape.allSatisfy({ $0 > 0 }) else { return "its weight is not a convolution kernel" }
        if layer.group > 1, !groups { return layer.isDepthwise ? "depthwise: each filter is already rank 1 across channels" : "grouped convolution" }
        guard layer.weightShape.dropFirst(2).contains(where: { $0 > 1 }) else { return "a kernel of one element is a matrix, which svd splits" }
        let extents = layer.weightShape
        guard Lapack.canDecompose(rows: extents[0], columns: layer.weightCount / extents[0]), extents[0] < 16384, extents[1] < 16384 else {
            return "its weight is too large to decompose"
        }
        return nil
    }
}
