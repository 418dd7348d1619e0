import ModelGraph

/// Declares how the packed archive codes weights. The last step of Deep Compression; it changes no number.
public struct HuffmanCoding: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "huffman", title: "Huffman coding", family: .coding,
        summary: "Chooses how the packed archive codes weights: relative sparse indices and Huffman codes",
        details: """
            The graph and its accuracy stay as they are, and so does the ONNX file: what gets smaller is the packed archive \
            (`lathe pack`), from which `lathe unpack` gives the ONNX file back bit by bit. Sparse tensors store the distance to the \
            next non-zero weight in a few bits; a longer distance inserts a filler zero. Tensors with few values store a \
            codebook. Values and distances get canonical Huffman codes, or fixed widths to see what Huffman coding itself is worth. \
            Each tensor takes the smallest of the encodings that are open to it, by its real size.
            """,
        source: "Han, Mao and Dally, Deep Compression, ICLR 2016, sections 2 and 4",
        parameters: [
            ParameterDescriptor(
                "index-bits", title: "Index bits",
                domain: .choice([.init("auto", "the best for each tensor")] + (2...8).map { .init(String($0), "steps of up to \(1 << $0)") }),
                default: .choice("auto"), unit: "bits", help: "Bits of the distance to the next non-zero weight in sparse tensors"),
            ParameterDescriptor(
                "huffman", title: "Huffman codes", domain: .flag, default: .flag(true),
                help: "Code values and distances by their frequency; off stores them at fixed width"),
        ],
        requires: [], produces: [.coding])

    public func refusal(for layer: Layer, in model: Model) -> String? { nil }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var rules: [CodingDeclaration.Rule] = []
        var positions: [ParameterValues: Int] = [:]
        for target in targets {
            var names = target.layer.weightNames
            if let graph = model.graph[target.layer.path] {
                names += graph.codebookWeights.filter { $0.indices == target.layer.weight }.map(\.codebook)
            }
            let position: Int
            if let known = positions[target.parameters] {
                position = known
            } else {
                position = rules.count
                positions[target.parameters] = position
                rules.append(
                    CodingDeclaration.Rule(
                        tensors: [], indexBits: target.parameters.indexBits, huffman: target.parameters.flag("huffman")))
            }
            for name in names where !rules[position].tensors.contains(name) { rules[position].tensors.append(name) }
        }
        try CodingDeclaration(rules: rules).write(to: &model)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let parameters = values.resolved(by: descriptor)
            states[index].indexBits = parameters.indexBits
            states[index].entropyCoded = parameters.flag("huffman")
        }
    }
}

extension ParameterValues {
    /// The choice `index-bits` as a number; `nil` for auto.
    fileprivate var indexBits: Int? { Int(choice("index-bits")) }
}
