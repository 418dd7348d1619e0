import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// A squeeze to fewer channels, and from there two expansions side by side: 1×1 to the first half of the outputs, k×k to the others.
struct FireBlock: Sendable {
    /// Channels between.
    var squeezed: Int
    /// squeezed × inputs.
    private var squeeze: [Float]
    /// outputs × squeezed, and outputs × squeezed × positions.
    private var small: [Float]
    private var large: [Float]

    /// Outputs of the 1×1 half.
    static func half(_ outputs: Int) -> Int { outputs / 2 }

    /// Weights of a block in the place of m × n × k, the slopes among them.
    static func count(m: Double, n: Double, k: Double, squeezed: Double) -> Double {
        let small = (m / 2).rounded(.down)
        return squeezed * (n + small + (m - small) * k + 1)
    }

    /// Channels to squeeze to so that the block holds `ratio` of the weights.
    static func squeezed(m: Double, n: Double, k: Double, ratio: Double) -> Double {
        max((ratio * m * n * k / count(m: m, n: n, k: k, squeezed: 1)).rounded(.down), 1)
    }

    /// The start: the inputs' channels turned to the directions in which the kernel has most energy (the truncated higher-order SVD along the inputs), the kernel seen from there, and of the first half
    /// of its outputs the middle alone.
    private init(_ layer: Layer, _ tensor: Tensor, squeezed: Int) throws {
        guard let values = tensor.floats() else { throw EngineError(.technique, "its weights cannot be read") }
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        let k = layer.weightCount / (m * n)
        self.squeezed = squeezed
        // inputs × outputs · positions
        var unfolded = [Float](repeating: 0, count: values.count)
        for output in 0..<m { for input in 0..<n { for position in 0..<k { unfolded[(input * m + output) * k + position] = values[(output * n + input) * k + position] } } }
        let svd = try unfolded.withUnsafeBufferPointer { try Lapack.svd($0, rows: n, columns: m * k) }
        let (rank, width) = (min(squeezed, svd.s.count), svd.s.count)
        squeeze = [Float](repeating: 0, count: squeezed * n)
        for index in 0..<rank { for input in 0..<n { squeeze[index * n + input] = svd.u[input * width + index] } }
        let first = Self.half(m)
        small = [Float](repeating: 0, count: first * squeezed)
        large = [Float](repeating: 0, count: (m - first) * squeezed * k)
        // Products with orthonormal directions: diag(s)·vᵀ.
        for index in 0..<rank {
            for output in 0..<m {
                for position in 0..<k {
                    let value = svd.s[index] * svd.vt[index * m * k + output * k + position]
                    if output >= first {
                        large[((output - first) * squeezed + index) * k + position] = value
                    } else if position == k / 2 {
                        small[output * squeezed + index] = value
                    }
                }
            }
        }
    }

    /// Why a kernel's middle does not stand where a 1×1 convolution of the same strides looks; `nil` if it does.
    private static func misfit(_ layer: Layer, _ node: Node) -> String? {
        let kernel = layer.weightShape.dropFirst(2)
        guard kernel.allSatisfy({ $0 % 2 == 1 }) else { return "a kernel of even size has no center" }
        let strides = node.ints("strides") ?? kernel.map { _ in 1 }
        let dilations = node.ints("dilations") ?? kernel.map { _ in 1 }
        let reach = zip(kernel, dilations).map { ($0 - 1) / 2 * $1 }
        if let automatic = node.string("auto_pad"), automatic.hasPrefix("SAME") { return strides.allSatisfy { $0 == 1 } ? nil : "its padding depends on the input's size" }
        if node.string("auto_pad") == "VALID" { return "its padding does not center the kernel" }
        return (node.ints("pads") ?? [Int](repeating: 0, count: 2 * kernel.count)) == reach + reach ? nil : "its padding does not center the kernel"
    }

    /// Puts blocks in the place of convolutions; those in which a block would hold no fewer weights are noted and left.
    static func insert(_ targets: [LayerTarget], into model: inout Model, _ context: RewriteContext) throws {
        func wanted(_ target: LayerTarget) -> Int {
            let (m, n) = (target.layer.weightShape[0], target.layer.weightShape[1])
            return Int(squeezed(m: Double(m), n: Double(n), k: Double(target.layer.weightCount / (m * n)), ratio: target.parameters.real("ratio")))
        }
        var source = FactorSource<Int, FireBlock>(model: model, context: context, request: wanted)
        let nodes = model.graph.nodes
        try source.prepare(targets) { layer, tensor, squeezed in
            let (m, n) = (layer.weightShape[0], layer.weightShape[1])
            if let reason = misfit(layer, nodes[layer.nodeIndex]) { throw EngineError(.technique, reason) }
            guard m > 1 else { throw EngineError(.technique, "it has one output") }
            let count = Int(count(m: Double(m), n: Double(n), k: Double(layer.weightCount / (m * n)), squeezed: Double(squeezed)))
            guard count < layer.weightCount else {
                context.noteNothingSaved(layer, ranks: "a squeeze to \(squeezed)", count: count)
                return nil
            }
            return try FireBlock(layer, tensor, squeezed: squeezed)
        }
        var supply = NameSupply(model.graph)
        for target in targets.sorted(by: { $0.layer.nodeIndex > $1.layer.nodeIndex }) {
            guard let block = source.factors(of: target) else { continue }
            let made = block.nodes(of: target.layer, &model, &supply)
            model.graph.nodes.replaceSubrange(target.layer.nodeIndex...target.layer.nodeIndex, with: made)
        }
    }

    private func nodes(of layer: Layer, _ model: inout Model, _ supply: inout NameSupply) -> [Node] {
        guard let weight = model.graph.initializers[layer.weight] else { return [model.graph.nodes[layer.nodeIndex]] }
        let node = model.graph.nodes[layer.nodeIndex]
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        let (kernel, first) = (Array(layer.weightShape.dropFirst(2)), Self.half(layer.weightShape[0]))
        let ones = kernel.map { _ in 1 }
        func add(_ suffix: String, _ values: [Float], _ dims: [Int]) -> String {
            let name = supply.fresh(layer.id + "/" + suffix)
            model.graph.initializers[name] = Tensor(like: weight, name: name, floats: values, dims: dims)
            return name
        }
        var made: [Node] = []
        func append(_ node: Node, _ suffix: String, _ inputs: [String], to output: String? = nil) -> String {
            var next = node
            next.name = layer.id + "/" + suffix
            next.inputs = inputs
            next.outputs = [output ?? supply.fresh(next.name + "_output")]
            made.append(next)
            return next.outputs[0]
        }
        let bias = node.input(2).flatMap { model.graph.initializers[$0]?.floats() }
        let halves = bias.map { [add("fire_1x1.bias", Array($0[..<first]), [first]), add("fire_kxk.bias", Array($0[first...]), [m - first])] }
        let pointwise = ConvolutionForm.pointwise(axes: kernel.count)
        let narrow = append(pointwise, "fire_squeeze", [node.inputs[0], add("fire_squeeze.weight", squeeze, [squeezed, n] + ones)])
        // A slope of 1 is no nonlinearity yet: the block starts as what the kernel was.
        let slopes = add("fire_slope", [Float](repeating: 1, count: squeezed), [squeezed] + ones)
        let bent = append(Node("PRelu", inputs: [], outputs: []), "fire_prelu", [narrow, slopes])
        var small = pointwise
        if let strides = node.ints("strides") { small.set("strides", .integers(strides)) }
        let left = append(small, "fire_1x1", [bent, add("fire_1x1.weight", self.small, [first, squeezed] + ones)] + (halves.map { [$0[0]] } ?? []))
        let right = append(node, "fire_kxk", [bent, add("fire_kxk.weight", large, [m - first, squeezed] + kernel)] + (halves.map { [$0[1]] } ?? []))
        _ = append(Node("Concat", inputs: [], outputs: [], attributes: [Attribute("axis", .integer(1))]), "fire_concat", [left, right], to: node.outputs[0])
        return made
    }
}
