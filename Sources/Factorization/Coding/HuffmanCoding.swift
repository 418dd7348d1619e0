import Archive
import ModelGraph
import Techniques

/// Declares how the packed archive codes weights. The last step of Deep Compression; it changes no number.
public struct HuffmanCoding: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "huffman", title: "Huffman coding", family: .coding,
        summary: "Uses Huffman codes in the packed archive, and relative indices for sparse weights",
        details: """
            The graph, its accuracy and the ONNX file stay as they are. What gets smaller is the packed archive (`lathe pack`), from which `lathe \
            unpack` restores the ONNX file bit by bit. Sparse tensors store the distance to the next non-zero weight in a few bits; a longer distance \
            inserts a filler zero. Tensors with few values store a codebook. Values and distances get canonical Huffman codes, or fixed widths to see \
            what Huffman coding itself is worth. Each tensor takes the smallest encoding that it can have, by its real size. A code word takes whole \
            bits; range-coding does not. Without either step the archive may use both.
            """,
        source: "Han, Mao and Dally, Deep Compression, ICLR 2016, sections 2 and 4",
        parameters: [
            CodingDeclaration.indexBits,
            ParameterDescriptor(
                "huffman", title: "Huffman codes", domain: .flag, default: .flag(true),
                help: "Huffman codes for values and distances; off stores them at fixed width"),
        ],
        requires: [], produces: [.coding])

    public func refusal(for layer: Layer, in model: Model) -> String? { nil }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        try CodingDeclaration(targets, in: model, coder: Self.coder).write(to: &model)
    }

    private static func coder(_ parameters: ParameterValues) -> EntropyCoder { parameters.flag("huffman") ? .huffman : .fixed }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let parameters = values.resolved(by: descriptor)
            states[index].coding.indexBits = parameters.indexBits
            states[index].coding.coder = Self.coder(parameters)
        }
    }
}
