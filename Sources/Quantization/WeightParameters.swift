import Techniques

/// Parameters that all quantizers of weights have in common.
package enum WeightParameters {
    static let granularity = ParameterDescriptor(
        "granularity", title: "Scales",
        domain: .choice([
            .init("tensor", "one scale for the whole tensor"), .init("channel", "one scale per output channel or table row"),
            .init("group", "one scale per group of weights along the inputs"),
        ]), default: .choice("channel"), help: "Which weights share a scale.")

    static let groupSize = ParameterDescriptor(
        "group-size", title: "Group", domain: .choice(["16", "32", "64", "128"].map { .init($0, "\($0) weights share a scale") }),
        default: .choice("32"), unit: "weights", help: "Weights per group, for granularity group.")

    static let symmetric = ParameterDescriptor(
        "symmetric", title: "Symmetric", domain: .flag, default: .flag(true),
        help: "Ranges [−m, m] without zero points; off: each range as it is, with zero points.")

    static func range(_ standard: String) -> ParameterDescriptor {
        ParameterDescriptor(
            "range", title: "Range",
            domain: .choice([
                .init("minmax", "covers every weight"), .init("mse", "clipped where that lowers the squared error"),
            ]), default: .choice(standard), help: "What range a scale covers.")
    }

    static let storage = ParameterDescriptor(
        "storage", title: "Storage",
        domain: .choice([
            .init("auto", "packed; embeddings as integer rows"), .init("packed", "true width in the file, float in memory"),
            .init("dequantize", "int8 or int4 with DequantizeLinear"), .init("matmulnbits", "ONNX Runtime's block kernels"),
            .init("simulated", "rounded floats; the file does not shrink"),
        ]), default: .choice("auto"), help: "How the file stores the integers.")

    static let activations = ParameterDescriptor(
        "activations", title: "Activations",
        domain: .choice([
            .init("int8", "MatMulNBits may round them to int8 at run time: fast"), .init("float32", "MatMulNBits computes in float: slow for 2 and 8 bits"),
        ]), default: .choice("int8"), help: "Type in which MatMulNBits uses activations.")

    /// The grids that `bits`, `symmetric` and `range` ask for.
    static func format(_ parameters: ParameterValues) -> WeightFormat {
        WeightFormat(
            bits: parameters.integer("bits"), symmetric: parameters.flag("symmetric"),
            range: parameters.choice("range") == "mse" ? .leastSquares : .minmax)
    }

    static func granularity(_ parameters: ParameterValues) -> Granularity { Granularity(rawValue: parameters.choice("granularity")) ?? .channel }

    static func groupSize(_ parameters: ParameterValues) -> Int { Int(parameters.choice("group-size")) ?? 32 }

    /// What the parameters above and `bits` ask for.
    static func request(_ parameters: ParameterValues) -> WeightStorageWriter.Request {
        WeightStorageWriter.Request(
            format: format(parameters), granularity: granularity(parameters), groupSize: groupSize(parameters),
            storage: WeightStorage(rawValue: parameters.choice("storage")) ?? .auto, integerActivations: parameters.choice("activations") == "int8")
    }
}
