import Archive
import ModelGraph
import Techniques

/// Declares that the packed archive codes weights by range codes. Changes no number.
public struct RangeCoding: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "range-coding", title: "Range coding", family: .coding,
        summary: "Uses range codes (rANS) in the packed archive: weights take the bits of their entropy, not whole bits",
        details: """
            The graph, its accuracy and the ONNX file stay as they are. What gets smaller is the packed archive (`lathe pack`), from which `lathe \
            unpack` restores the ONNX file bit by bit. As with huffman, sparse tensors store the distance to the next non-zero weight, and tensors \
            with few values a codebook. Values and distances are coded by an asymmetric numeral system with their frequencies: within a percent of the \
            entropy, where Huffman codes lose up to a bit per symbol. It gains most where one value is far more frequent than all others: few \
            clusters, or zeros without an index. The archive's size includes the frequency tables. `lathe pack --compare` lists the sizes and decoding \
            speeds of the codes.
            """,
        source: "Duda, Asymmetric numeral systems, arXiv:1311.2540, section 2",
        parameters: [CodingDeclaration.indexBits],
        requires: [], produces: [.coding])

    public func refusal(for layer: Layer, in model: Model) -> String? { nil }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        try CodingDeclaration(targets, in: model) { _ in .range }.write(to: &model)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            states[index].coding.indexBits = values.resolved(by: descriptor).indexBits
            states[index].coding.coder = .range
        }
    }
}
