import ModelGraph

/// Reverse-mode differentiation of an ONNX graph: appends to a graph the nodes that compute gradients.
///
/// Griewank and Walther, *Evaluating Derivatives* (2008), chapter 3: values are visited in reverse order; each operator's
/// rule turns the gradients of its outputs into those of its inputs; a value read several times gets their sum.
public struct Differentiator: Sendable {
    /// Where the way back ended because an operator has no rule.
    public struct Barrier: Sendable, Hashable {
        public var opType: String
        public var node: String
        public var reason: String
    }

    public private(set) var barriers: [Barrier] = []

    public init() {}

    /// Appends the gradients of a scalar.
    ///
    /// - Parameters:
    ///   - loss: a scalar value of the graph.
    ///   - targets: values (weights, inputs) whose gradients are wanted.
    ///   - builder: the graph; its nodes up to now are the forward part.
    /// - Returns: the name of each target's gradient, of the target's shape; targets that the loss does not reach through
    ///   operators with rules are missing.
    public mutating func gradients(of loss: String, for targets: [String], in builder: inout GradientBuilder) throws -> [String: String] {
        let forward = builder.nodes
        var active = Set(targets)
        for node in forward where node.inputs.contains(where: { active.contains($0) }) && GradientRules.carriesGradient(node) {
            active.formUnion(node.outputs.filter { !$0.isEmpty })
        }
        builder.active = active
        guard active.contains(loss) else { return [:] }
        var arriving: [String: [String]] = [loss: [builder.constant([Float(1)], try builder.shape(loss))]]
        for node in forward.reversed() where node.inputs.contains(where: { active.contains($0) }) {
            var gradients: [String?] = []
            for output in node.outputs {
                guard !output.isEmpty, let parts = arriving[output] else {
                    gradients.append(nil)
                    continue
                }
                let whole = try builder.total(parts)
                arriving[output] = [whole]
                gradients.append(whole)
            }
            guard gradients.contains(where: { $0 != nil }) else { continue }
            guard let rule = GradientRules.rule(for: node) else {
                barriers.append(Barrier(opType: node.opType, node: node.name, reason: "has no gradient rule"))
                continue
            }
            let results: [String?]
            do {
                results = try rule(node, gradients, &builder)
            } catch let error as DifferentiationError {
                barriers.append(Barrier(opType: node.opType, node: node.name, reason: error.message))
                continue
            }
            for (input, gradient) in zip(node.inputs, results) {
                guard let gradient, active.contains(input) else { continue }
                arriving[input, default: []].append(gradient)
            }
        }
        var result: [String: String] = [:]
        for target in targets {
            if let parts = arriving[target] { result[target] = try builder.total(parts) }
        }
        return result
    }
}
