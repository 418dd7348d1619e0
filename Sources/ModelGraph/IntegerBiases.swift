/// Biases of layers that compute on integers (QDQ form): codes of 32 bits whose scale is the product of the input's scale and the weight's.
///
/// With any other scale ONNX Runtime leaves a Conv in float, and a QGemm adds the codes as if the scale were the product: slow, or wrong. So whatever
/// changes a scale of the input or weight has to write the bias anew.
extension Model {
    /// Writes biases anew whose scale was the product in `original` and no longer is; their values stay, rounded to the new scale.
    ///
    /// Codes or scales that another node reads too are left to it, and new ones made. Nodes of the main graph only, which have to stand where they stood.
    package mutating func alignIntegerBiases(with original: Model) {
        guard graph.nodes.count == original.graph.nodes.count else { return }
        let before = IntegerBias.all(in: original)
        guard !before.isEmpty else { return }
        for bias in IntegerBias.all(in: self) {
            guard let old = before.first(where: { $0.layer == bias.layer }), old.isProduct, !bias.isProduct else { continue }
            write(bias)
        }
    }

    private mutating func write(_ bias: IntegerBias) {
        let values = bias.codes.enumerated().map { Double($1) * Double(bias.scales[bias.scales.count == 1 ? 0 : $0]) }
        let scales = bias.products
        let codes = values.enumerated().map { index, value -> Int32 in
            let code = (value / Double(scales[scales.count == 1 ? 0 : index])).rounded(.toNearestOrEven)
            return code.isNaN ? 0 : Int32(max(min(code, Double(Int32.max)), Double(Int32.min)))
        }
        func own(_ input: Int, _ suffix: String) -> String {
            let name = graph.nodes[bias.dequantizer].inputs[input]
            let readers = graph.nodes.reduce(0) { $0 + $1.inputs.count { $0 == name } }
            guard readers > 1 || graph.inputs.contains(where: { $0.name == name }) else { return name }
            var fresh = name + suffix
            while graph.initializers[fresh] != nil { fresh += "_" }
            return fresh
        }
        let (codesName, scaleName) = (own(0, "_aligned"), own(1, "_aligned"))
        let dims = graph.initializers[graph.nodes[bias.dequantizer].inputs[1]]?.dims ?? []
        graph.initializers[codesName] = Tensor(name: codesName, int32s: codes, dims: [codes.count])
        graph.initializers[scaleName] = Tensor(name: scaleName, floats: scales, dims: dims)
        graph.nodes[bias.dequantizer].inputs[0] = codesName
        graph.nodes[bias.dequantizer].inputs[1] = scaleName
    }
}

/// The bias of one layer that reads its input, weight and bias through DequantizeLinear.
package struct IntegerBias: Sendable {
    /// Places in the main graph's nodes.
    package var layer: Int
    package var dequantizer: Int
    package var codes: [Int]
    /// One, or one for each channel.
    package var scales: [Float]
    /// The input's scale times the weight's, as many.
    package var products: [Float]

    /// Whether the scale is the product, but for rounding.
    package var isProduct: Bool {
        zip(scales, products).allSatisfy { abs($0 - $1) <= 1e-5 * abs($1) }
    }

    /// Biases of the layers in the main graph whose scales are constants.
    package static func all(in model: Model) -> [IntegerBias] {
        let graph = model.graph
        var makers: [String: Int] = [:]
        for (position, node) in graph.nodes.enumerated() where node.opType == "DequantizeLinear" { if let output = node.outputs.first { makers[output] = position } }
        guard !makers.isEmpty else { return [] }
        func scales(_ value: String?) -> [Float]? {
            value.flatMap { makers[$0] }.flatMap { graph.nodes[$0].input(1) }.flatMap { graph.initializers[$0]?.floats() }
        }
        return graph.nodes.enumerated().compactMap { position, node in
            guard ["Conv", "ConvTranspose", "Gemm"].contains(node.opType), let bias = node.input(2), let maker = makers[bias], let codes = graph.nodes[maker].input(0),
                let stored = graph.initializers[codes], stored.elementType == .int32, stored.dims.count == 1, let integers = stored.integers(),
                let own = scales(bias), let input = scales(node.input(0)), input.count == 1, let weight = scales(node.input(1)),
                own.count == weight.count, [1, integers.count].contains(own.count),
                graph.nodes[maker].input(2).map({ graph.initializers[$0]?.integers()?.allSatisfy { $0 == 0 } ?? false }) ?? true
            else { return nil }
            return IntegerBias(layer: position, dequantizer: maker, codes: integers, scales: own, products: weight.map { input[0] * $0 })
        }
    }
}
