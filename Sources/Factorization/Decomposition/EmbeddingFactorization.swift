import ModelGraph
import Techniques

/// Factorized embedding parameterisation: a narrow table and a projection.
public struct EmbeddingFactorization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "embedding-factorization", title: "Embedding factorization", family: .factorization,
        summary: "Replaces an embedding table by a narrower one and a projection to the full width",
        details: """
            A table of V rows and width d, read by Gather, becomes a V × r table and a MatMul with r × d: the truncated singular value decomposition \
            of the table. Vocabularies are large, so nearly all of the table's V·d numbers shrink to V·r; the r·d of the projection hardly count. \
            ALBERT combines a large vocabulary with a small width in this way.

            A lookup costs nothing, but the projection costs r·d MACs for every token: MACs and latency rise a little while the file shrinks by up to \
            the table's share of it. A table that other nodes read too, such as a tied output layer, is left alone and noted.
            """,
        source: "Lan et al., ALBERT: A Lite BERT for Self-supervised Learning of Language Representations, ICLR 2020, section 3.1",
        parameters: RankChoice.parameters([.ratio, .energy, .rank, .vbmf], rank: "Width of the new table, with mode rank"),
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        layer.kind == .embedding ? MatrixLinks.refusal(for: layer, in: model) : "not an embedding"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        try SVDFactorization.factorize(&model, targets: targets, context: context)
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            SVDFactorization.predict(&states[index], summaries[index], RankChoice(parameters.resolved(by: descriptor)), spectrum: summaries[index].spectra[.first])
        }
    }
}
