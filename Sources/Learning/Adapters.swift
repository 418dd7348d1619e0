import Foundation
import ModelGraph
import Techniques
import Training

/// Trains small bottlenecks behind frozen layers.
public struct Adapters: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "adapters",
        title: "Adapters",
        family: .training,
        summary: "Trains small residual bottlenecks after frozen layers; they stay in the file",
        details: """
            After each chosen layer, its bias and its normalization, comes x + up(f(down(x))): down to `bottleneck` channels, an activation, and back \
            up. `up` starts at zero, so nothing changes at first. Only the adapters are trained, and the head, biases and normalizations if asked for; \
            all weights of the model stay the same, integers included. In transformers, adapters follow the attention and feed-forward layers, before \
            the residual sum (Houlsby et al.); after convolutions they are 1×1 (Rebuffi et al.); after recurrent layers they change what the next \
            layers read.

            `limit` caps the parameters of all adapters together, as a share of the model's: where they would be more, all bottlenecks become \
            narrower. The report says how many parameters were trained and how much memory that took. File, MACs and latency grow by the adapters: \
            this moves a model to new data with a small file of differences; it does not make it smaller.
            """,
        source: """
            Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, section 2; Rebuffi, Bilen and Vedaldi, Learning Multiple Visual Domains with Residual Adapters, NIPS 2017, \
            section 3.2
            """,
        parameters: [
            ParameterDescriptor(
                "bottleneck", title: "Bottleneck", domain: .integer(1...256, step: 1), default: .integer(4), unit: "channels", help: "Channels between the two layers of an adapter"
            ),
            ParameterDescriptor(
                "limit", title: "Limit", domain: .real(0.001...1, step: 0.001), default: .real(0.05),
                help: "Largest share of the model's parameters that all adapters may hold; bottlenecks become narrower to fit"),
            ParameterDescriptor(
                "activation", title: "Activation",
                domain: .choice([.init("relu", "negative values become 0"), .init("gelu", "x times the normal distribution function"), .init("none", "a linear change")]),
                default: .choice("relu"), help: "What is between the two layers"),
            TrainingParameters.besideAdapters,
        ]
            + TrainingParameters.without("scope", "keep-structure", "l1", "group-lasso", "scale-penalty", "rate-decay").map { parameter in
                var parameter = parameter
                if parameter.name == "batchnorm" { parameter.defaultValue = .choice("frozen") }
                return parameter
            },
        strength: "bottleneck", requires: [], produces: [.training])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] { AdapterSites(model, layers: layers).refusals }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        let layers = model.layers()
        let sites = AdapterSites(model, layers: layers).sites
        let place = Dictionary(layers.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
        let chosen = targets.compactMap { target in place[target.layer.id].flatMap { sites[$0] }.map { (target: target, site: $0) } }
        let all = LearningStep.parameterCount(model)
        let cap = Self.cap(chosen.map { ($0.site.channels, $0.target.parameters.integer("bottleneck")) }, limit: parameters.real("limit") * Double(all))
        let adapters = chosen.map { target, site in
            BottleneckAdapter(
                behind: target.layer, site, width: min(target.parameters.integer("bottleneck"), cap),
                activation: BottleneckAdapter.Activation(rawValue: target.parameters.choice("activation")) ?? .relu, seed: context.seed)
        }
        if adapters.contains(where: { cap < $0.site.channels }), targets.contains(where: { $0.parameters.integer("bottleneck") > cap }) {
            context.notes.add("bottlenecks of \(cap): wider ones would hold more than the limit")
        }
        let previous = model
        let names = BottleneckAdapter.insert(adapters, into: &model).flatMap { $0 }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed, adding: names, to: model)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: model, previous: previous, context: context)
        try LearningStep.run(&model, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        LearningStep.noteShare("\(adapters.count) adapters of \(adapters.reduce(0) { $0 + $1.count }) parameters", of: all, context)
    }

    /// The widest bottleneck with which adapters hold no more than `limit`; at least 1.
    private static func cap(_ asked: [(channels: Int, width: Int)], limit: Double) -> Int {
        var cap = asked.map { min($0.channels, $0.width) }.max() ?? 1
        func total(_ cap: Int) -> Int { asked.reduce(0) { $0 + BottleneckAdapter.count(channels: $1.channels, width: min($1.width, $1.channels, cap)) } }
        while cap > 1, Double(total(cap)) > limit { cap -= 1 }
        return cap
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        let values = targets.mapValues { $0.resolved(by: descriptor) }
        func channels(_ layer: Layer) -> Int {
            guard layer.weightShape.indices.contains(layer.outputAxis) else { return 0 }
            return [.lstm, .gru, .rnn].contains(layer.kind) ? layer.weightShape[1] / (layer.kind == .lstm ? 4 : layer.kind == .gru ? 3 : 1) : layer.weightShape[layer.outputAxis]
        }
        func kept(_ index: Int) -> Int { max(Int((Double(channels(summaries[index].layer)) * states[index].outputsKept).rounded()), 1) }
        let all = states.reduce(0.0) { $0 + $1.weightCount + $1.biasCount + $1.attachedCount }
        let limit = values.values.first.map { $0.real("limit") * all } ?? 0
        let cap = Self.cap(values.sorted { $0.key < $1.key }.map { (kept($0.key), $0.value.integer("bottleneck")) }, limit: limit)
        for (index, parameters) in values {
            let (n, summary) = (kept(index), summaries[index])
            let m = min(parameters.integer("bottleneck"), n, cap)
            let zeros = states[index].weightCount * (1 - states[index].density)
            states[index].weightCount += Double(2 * n * m)
            states[index].density = 1 - zeros / max(states[index].weightCount, 1)
            states[index].biasCount += Double(n + m)
            let positions = (states[index].outputElements ?? 0) / Double(n)
            states[index].macs = states[index].macs.map { $0 + positions * Double(2 * n * m) }
            let nodes = (summary.layer.kind == .conv || summary.layer.kind == .convTranspose ? 3 : 5) + (parameters.choice("activation") == "none" ? 0 : 1)
            states[index].overheadBits += Double(nodes * (4 * summary.layer.id.utf8.count + 130) * 8)
        }
    }
}
