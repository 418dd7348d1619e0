import Techniques

@testable import Explorer

/// Techniques like the real ones in name, range and order rules, fixed so that snapshots do not move with the registry.
enum FakeCatalog {
    static let catalog = TechniqueCatalog([
        magnitude, nm, structured, float16, staticInt8, weightOnly, svd, sharing, huffman,
    ])

    static let magnitude = TechniqueDescriptor(
        id: "magnitude-pruning", title: "Magnitude pruning", family: .pruning, summary: "Sets the smallest weights to zero.",
        details: "Weights whose magnitude lies below a threshold become zero. The dense ONNX file stays as large; the archive and gzip shrink.",
        source: "Han et al. 2015",
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5), help: "Share of weights set to zero."),
            ParameterDescriptor(
                "scope", title: "Scope", domain: .choice([.init("global", "one threshold for all layers"), .init("layer", "a threshold per layer")]),
                default: .choice("global"), help: "Whether layers share one threshold."),
        ], produces: [.sparseWeights])
    static let nm = TechniqueDescriptor(
        id: "nm-pruning", title: "N:M pruning", family: .pruning, summary: "Keeps N of every M neighboring weights.", details: "As sparse tensor cores want it.",
        source: "Mishra et al. 2021",
        parameters: [
            ParameterDescriptor("kept", title: "Kept (N)", domain: .integer(1...8, step: 1), default: .integer(2), help: "Weights kept of each group."),
            ParameterDescriptor("group", title: "Group (M)", domain: .integer(2...16, step: 1), default: .integer(4), help: "Weights of a group."),
        ], produces: [.sparseWeights])
    static let structured = TechniqueDescriptor(
        id: "structured-pruning", title: "Structured pruning", family: .pruning, summary: "Removes whole filters and neurons.",
        details: "The graph really gets smaller: fewer MACs, a smaller file.", source: "Li et al. 2017",
        parameters: [
            ParameterDescriptor("ratio", title: "Ratio", domain: .real(0...0.9, step: 0.05), default: .real(0.25), help: "Share of filters removed."),
            ParameterDescriptor(
                "norm", title: "Norm", domain: .choice([.init("l1", "sum of magnitudes"), .init("l2", "Euclidean")]), default: .choice("l1"), help: "Importance of a filter."),
        ])
    static let float16 = TechniqueDescriptor(
        id: "float16", title: "Half precision", family: .quantization, summary: "Stores and computes in 16-bit floating point.", details: "Halves the file.",
        source: "IEEE 754", parameters: [], produces: [.loweredPrecision])
    static let staticInt8 = TechniqueDescriptor(
        id: "static-int8", title: "Static int8", family: .quantization, summary: "Integer weights and activations, ranges from calibration data.",
        details: "QuantizeLinear and DequantizeLinear around every layer; the runtime fuses them into integer kernels.", source: "Jacob et al. 2018",
        parameters: [
            ParameterDescriptor(
                "calibration", title: "Calibration",
                domain: .choice([.init("min-max", "the whole range"), .init("percentile", "without outliers"), .init("entropy", "least divergence"), .init("mse", "least error")]),
                default: .choice("min-max"), help: "How activation ranges are found."),
            ParameterDescriptor("per-channel", title: "Per channel", domain: .flag, default: .flag(true), help: "A scale per output channel."),
            ParameterDescriptor("samples", title: "Samples", domain: .integer(16...2048, step: 16), default: .integer(256), help: "Calibration samples."),
            ParameterDescriptor(
                "percentile", title: "Percentile", domain: .real(99...100, step: 0.01), default: .real(99.9), unit: "%", help: "Share of activations inside the range."),
        ], needsCalibration: true, produces: [.loweredPrecision])
    static let weightOnly = TechniqueDescriptor(
        id: "weight-only", title: "Weight-only", family: .quantization, summary: "Integer weights, floating point arithmetic.", details: "2 to 8 bits.",
        source: "Frantar et al. 2023",
        parameters: [
            ParameterDescriptor("bits", title: "Bits", domain: .integer(2...8, step: 1), default: .integer(4), unit: "bits", help: "Bits of a weight."),
            ParameterDescriptor("group-size", title: "Group size", domain: .integer(0...256, step: 16), default: .integer(32), help: "Weights that share a scale."),
            ParameterDescriptor("symmetric", title: "Symmetric", domain: .flag, default: .flag(true), help: "No zero point."),
        ], produces: [.loweredPrecision])
    static let svd = TechniqueDescriptor(
        id: "svd", title: "SVD", family: .factorization, summary: "Two thin layers instead of a wide one.", details: "Saves only below rank mn/(m+n).",
        source: "Eckart and Young 1936",
        parameters: [ParameterDescriptor("energy", title: "Energy", domain: .real(0.05...1, step: 0.05), default: .real(0.9), help: "Share of squared singular values kept.")],
        produces: [.factorized])
    static let sharing = TechniqueDescriptor(
        id: "weight-sharing", title: "Weight sharing", family: .sharing, summary: "Few distinct values per layer, by k-means.", details: "A codebook per layer.",
        source: "Han et al. 2016",
        parameters: [
            ParameterDescriptor("bits", title: "Bits", domain: .integer(1...8, step: 1), default: .integer(5), unit: "bits", help: "2^bits shared values."),
            ParameterDescriptor(
                "init", title: "Initialization", domain: .choice([.init("linear", "evenly spaced"), .init("density", "by quantiles"), .init("random", "random weights")]),
                default: .choice("linear"), help: "Where centroids start."),
        ], produces: [.sharedWeights])
    static let huffman = TechniqueDescriptor(
        id: "huffman", title: "Huffman coding", family: .coding, summary: "Codes the archive's weights by frequency.", details: "Bit-exact back.", source: "Huffman 1952",
        parameters: [
            ParameterDescriptor("index-bits", title: "Index bits", domain: .integer(2...8, step: 1), default: .integer(5), unit: "bits", help: "Bits of a relative index.")
        ],
        requires: [], produces: [.coding])
}
