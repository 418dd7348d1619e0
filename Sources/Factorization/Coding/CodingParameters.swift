import Archive
import ModelGraph
import Techniques

extension CodingDeclaration {
    /// Rules for the weights of a step's targets, codebooks and all else that weights are computed from included.
    init(_ targets: [LayerTarget], in model: Model, coder: (ParameterValues) -> EntropyCoder) {
        var rules: [Rule] = []
        var positions: [ParameterValues: Int] = [:]
        let computed = model.computedWeights
        for target in targets {
            var names = target.layer.weightNames
            if let graph = model.graph[target.layer.path] {
                names += graph.codebookWeights.filter { $0.indices == target.layer.weight }.map(\.codebook)
            }
            names += computed.filter { $0.weight.stored.contains(target.layer.weight) }.flatMap(\.weight.stored)
            let position = positions[target.parameters] ?? rules.count
            if position == rules.count {
                positions[target.parameters] = position
                rules.append(Rule(tensors: [], indexBits: target.parameters.indexBits, coder: coder(target.parameters)))
            }
            for name in names where !rules[position].tensors.contains(name) { rules[position].tensors.append(name) }
        }
        self.init(rules: rules)
    }

    /// Bits of the distance to the next non-zero weight: a parameter of every technique that codes.
    static let indexBits = ParameterDescriptor(
        "index-bits", title: "Index bits",
        domain: .choice([.init("auto", "the smallest for each tensor")] + (2...8).map { .init(String($0), "steps of up to \(1 << $0)") }),
        default: .choice("auto"), unit: "bits", help: "Bits of the distance to the next non-zero weight in sparse tensors")
}

extension ParameterValues {
    /// The choice `index-bits` as a number; `nil` for auto.
    var indexBits: Int? { Int(choice("index-bits")) }
}
