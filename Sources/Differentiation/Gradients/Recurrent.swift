import ModelGraph

/// Recurrent layers.
enum RecurrentGradients {
    static let rules: [String: GradientRule] = [:]
}

/// Recurrent layers unrolled over time.
enum RecurrentMacro {
    static let opType = "Recurrent"
    static func lower(_ node: Node, _ b: inout GradientBuilder) throws { throw DifferentiationError("recurrent layers") }
}
