import EngineSupport
import ModelGraph
import OrderedCollections
import Techniques
import Training

/// A model after a recipe, with what each step did.
public struct AppliedModel: Sendable {
    public var model: Model
    public var reports: [StepReport]
}

/// What one step of a recipe touched.
public struct StepReport: Sendable {
    public var technique: String
    /// Layers that were rewritten.
    public var layers: [String]
    /// Layers that the selector named but the technique refused, with the reason.
    public var refused: [(layer: String, reason: String)]
    public var notes: [String]
    /// Why an optional step was left out; `nil` if it was applied.
    public var skipped: String?
    /// How the training went, for steps that learn.
    public var training: TrainingSummary?
    /// The step learns and was not trained: the model is what it would start from.
    public var isUntrained: Bool

    public init(
        technique: String, layers: [String], refused: [(layer: String, reason: String)], notes: [String], skipped: String? = nil,
        training: TrainingSummary? = nil, isUntrained: Bool = false
    ) {
        self.technique = technique
        self.layers = layers
        self.refused = refused
        self.notes = notes
        self.skipped = skipped
        self.training = training
        self.isUntrained = isUntrained
    }
}

/// Applies recipes to one model, remembering the model after every prefix of steps, so that turning the last knob
/// repeats only the last step.
public final class RecipeExecutor: Sendable {
    public let baseline: Model
    private let stages: SharedCache<StageKey, AppliedModel>
    private let memo = LayerMemo()
    /// Layers that the baseline itself has in 16 or 64 bits.
    private let narrow: Set<String>

    /// What a model after some steps depends on, beside the baseline.
    private struct StageKey: Hashable {
        /// What a preview trains is no result of the recipe.
        var isPreview: Bool
        /// Of the seed, the data and the steps so far.
        var content: ContentHash
    }

    /// - Parameter capacity: how many intermediate models to remember; each shares the weights it left alone.
    public init(baseline: Model, capacity: Int = 24) {
        self.baseline = baseline
        narrow = Set(baseline.layers().filter(SinglePrecisionGraph.widens).map(\.id))
        stages = SharedCache(maximumCount: capacity)
    }

    /// The model after `recipe`.
    /// - Throws: `EngineError` if the recipe does not fit the model or its order makes no sense; errors of techniques.
    public func apply(_ recipe: Recipe, context: RewriteContext) throws -> AppliedModel {
        try RecipeOrder.check(recipe)
        var current = AppliedModel(model: baseline, reports: [])
        let steps = recipe.activeSteps
        var key = StageKey(
            isPreview: context.training?.maximumSteps != nil || context.training?.demand == .anew,
            content: ContentHash(of: "seed=\(recipe.seed) data=\(context.calibration?.contentHash.description ?? "none")"))
        for (number, step) in steps.enumerated() {
            try context.cancellation.check()
            key.content.combine(step.canonical)
            if let known = stages.value(for: key) {
                current = known
                continue
            }
            var stepContext = context
            stepContext.seed = recipe.seed
            stepContext.memo = memo
            let progress = context.progress
            stepContext.progress = { fraction, what in
                progress((Double(number) + fraction) / Double(steps.count), what)
            }
            do {
                current = try applyStep(step, number: number, to: current, context: stepContext)
            } catch let error as EngineError where step.optional && error.kind == .technique {
                // What does not apply is passed over; missing data and runtime are not the model's fault.
                current.reports.append(StepReport(technique: step.technique, layers: [], refused: [], notes: [], skipped: error.reason))
            }
            // Once trained, the step gives another model.
            if current.reports.contains(where: \.isUntrained) { continue }
            stages.insert(current, for: key)
        }
        return current
    }

    private func applyStep(_ step: RecipeStep, number: Int, to current: AppliedModel, context: RewriteContext) throws -> AppliedModel {
        let place = EngineError.Step(number: number + 1, technique: step.technique)
        guard let technique = TechniqueRegistry.technique(step.technique) else { throw EngineError(.recipe, step: place, "there is no such technique") }
        let descriptor = technique.descriptor
        let found = current.model.layers()
        let selection = try step.resolve(found, step: number)
        let fallback = PrecisionFallback(
            of: technique, layers: found, in: current.model, shapes: context.shapes, selected: selection.keys, isNarrowed: { !narrow.contains($0.id) })
        let layers = fallback.layers
        var targets: [LayerTarget] = []
        var refused: [(layer: String, reason: String)] = []
        for (index, parameters) in selection.sorted(by: { $0.key < $1.key }) {
            if let reason = fallback.refusals[index] {
                refused.append((layers[index].id, reason))
            } else {
                targets.append(LayerTarget(layer: layers[index], parameters: parameters.resolved(by: descriptor)))
            }
        }
        guard !targets.isEmpty else {
            let why = layers.isEmpty ? ": it has no layers with weights" : Self.summary(of: refused)
            throw EngineError(.technique, step: place, "applies to no layer of this model\(why)")
        }
        if context.calibration == nil, let need = targets.lazy.compactMap({ descriptor.calibrationNeed($0.parameters) }).first {
            throw EngineError(.data, step: place, (need == descriptor.id ? "" : need + " ") + context.calibrationNeed)
        }
        var result = current
        result.model = fallback.model
        let notes = RewriteContext.Notes()
        if fallback.isWidened { notes.add("the model computes in float32 from here on; weights that 16 bits hold exactly stay so in the file") }
        var stepContext = context
        stepContext.baseline = baseline
        stepContext.notes = notes
        do {
            try technique.rewrite(&result.model, targets: targets, context: stepContext)
        } catch let error as EngineError where error.step == nil && error.kind != .cancelled {
            // Techniques begin with their name, which the step says.
            let own = "\(descriptor.id): "
            throw EngineError(error.kind, step: place, error.reason.hasPrefix(own) ? String(error.reason.dropFirst(own.count)) : error.reason)
        }
        if fallback.isWidened, let narrow = found.map(\.weightType).first(where: { [.float16, .bfloat16].contains($0) }) {
            result.model = try HalfStorage.restore(narrow, in: result.model, context: stepContext)
        }
        result.model.graph.removeDeadCode()
        result.model.settleListedWeights(after: current.model)
        // It tells of the model before.
        result.model.metadata[ModelRecord.metadataKey] = nil
        result.reports.append(
            StepReport(technique: descriptor.id, layers: targets.map(\.layer.id), refused: refused, notes: notes.all, training: notes.training, isUntrained: notes.isUntrained))
        return result
    }

    /// Why layers were refused, in words for one line: each reason with the number of layers and the first of them.
    private static func summary(of refused: [(layer: String, reason: String)]) -> String {
        let reasons = OrderedDictionary(grouping: refused, by: \.reason)
        let parts = reasons.map { reason, layers in
            layers.count > 1 ? "\(reason) (\(layers.count) layers, first \(layers[0].layer))" : "\(reason) (\(layers[0].layer))"
        }
        return parts.isEmpty ? "" : ": " + parts.joined(separator: "; ")
    }
}

extension RecipeStep {
    /// Layers the step works on, by position, each with its own parameters (not yet resolved against defaults).
    /// - Throws: `EngineError` if a pattern names a layer the model does not have, unless the step is optional.
    /// - Parameter number: of the step among those that are switched on, from 0.
    public func resolve(_ layers: [Layer], step number: Int) throws(EngineError) -> [Int: ParameterValues] {
        let place = EngineError.Step(number: number + 1, technique: technique)
        func expand(_ selector: LayerSelector) throws(EngineError) -> Set<Int> {
            var chosen = selector.include.isEmpty ? Set(layers.indices) : []
            func positions(_ pattern: LayerPattern) throws(EngineError) -> Set<Int> {
                do {
                    return try pattern.positions(in: layers, step: place)
                } catch {
                    guard optional else { throw error }
                    return []
                }
            }
            for pattern in selector.include { chosen.formUnion(try positions(pattern)) }
            for pattern in selector.exclude { chosen.subtract(try positions(pattern)) }
            return chosen
        }
        var values: [Int: ParameterValues] = [:]
        for index in try expand(self.layers) { values[index] = parameters }
        for override in overrides {
            for index in try expand(override.layers) where values[index] != nil {
                values[index] = values[index]?.overlaid(by: override.parameters)
            }
        }
        return values
    }
}

extension LayerPattern {
    /// Positions of the layers this pattern names.
    /// - Throws: `EngineError` if there is none, naming the pattern and the nearest thing that exists.
    func positions(in layers: [Layer], step: EngineError.Step) throws(EngineError) -> Set<Int> {
        var found = Set(layers.indices.filter { matches(layers[$0], position: $0) })
        if found.isEmpty, case .layer(_, let kind, let shape, let occurrence) = self {
            let alike = layers.indices.filter { layers[$0].kind.rawValue == kind && layers[$0].weightShape == shape }
            if alike.indices.contains(occurrence) { found = [alike[occurrence]] }
        }
        guard found.isEmpty else { return found }
        let known = layers.prefix(6).map(\.id.shortened).joined(separator: ", ")
        throw EngineError(.recipe, step: step, "no layer matches '\(text)'; the model has \(known)\(layers.count > 6 ? ", …" : "")")
    }

    /// The pattern for one layer of a model, by name and by structure.
    public static func exactly(_ position: Int, in layers: [Layer]) -> LayerPattern {
        let layer = layers[position]
        let occurrence = layers[..<position].count { $0.kind == layer.kind && $0.weightShape == layer.weightShape }
        return .layer(name: layer.id, kind: layer.kind.rawValue, shape: layer.weightShape, occurrence: occurrence)
    }
}

/// Which steps may follow which.
public enum RecipeOrder {
    /// - Throws: `EngineError` naming the first step that makes no sense where it stands, and why.
    public static func check(_ recipe: Recipe) throws(EngineError) {
        for (index, step) in recipe.steps.enumerated() where step.enabled {
            if let reason = refusal(of: step, after: recipe.steps[..<index].filter(\.enabled)) {
                throw EngineError(.technique, step: EngineError.Step(number: index + 1, technique: step.technique), reason)
            }
        }
    }

    /// Why a step cannot follow others; `nil` if it can. Only steps that work on the same layers are in each other's
    /// way, which is judged when they are applied; here it is judged for steps on all layers.
    ///
    /// `describing` looks techniques up; tests of front ends bring their own.
    public static func refusal(
        of step: RecipeStep, after earlier: [RecipeStep],
        describing: (String) -> TechniqueDescriptor? = { TechniqueRegistry.technique($0)?.descriptor }
    ) -> String? {
        guard let descriptor = describing(step.technique) else { return "there is no such technique" }
        if descriptor.produces.contains(.correction), !earlier.contains(where: { describing($0.technique)?.produces.contains(.correction) == false }) {
            return "has nothing to correct yet; put it after the steps that change the model"
        }
        for (position, before) in earlier.enumerated() where before.layers == step.layers || before.layers == .all {
            guard let previous = describing(before.technique) else { continue }
            // A correction or a training may come again once something else has been done, a training also with other parameters (the head
            // first, then everything; a teaching assistant, then its student), and anything after a training: rounds of pruning and training.
            let trainedSince = earlier[position...].contains { describing($0.technique)?.produces.contains(.training) ?? false }
            let isNew = earlier.last.map { $0.technique != descriptor.id || descriptor.produces.contains(.training) && $0.parameters != step.parameters } ?? false
            let again = descriptor.produces.isDisjoint(with: [.correction, .training]) ? trainedSince : isNew
            if previous.id == descriptor.id, before.layers == step.layers, !again { return "is twice in the recipe for the same layers" }
            // Of layers named apart, those that the other step could not lower are still to be had: judged when applied.
            if previous.produces.contains(.loweredPrecision), descriptor.requires.contains(.floatWeights), before.layers == step.layers {
                return "needs float weights, but \(previous.id) before it lowers their precision; put it first, or give it layers that the other leaves, with @"
            }
            if previous.produces.contains(.earlyExit), descriptor.produces.isDisjoint(with: [.coding, .storage]) {
                return "must come before \(previous.id), which is fitted to the finished model"
            }
            if previous.produces.contains(.storage), descriptor.produces.isDisjoint(with: [.coding, .earlyExit]) {
                return "must come before \(previous.id), which stores the final weights"
            }
            if previous.produces.contains(.coding) {
                return "must come before \(previous.id), which codes the final weights"
            }
            if previous.produces.contains(.sparseWeights), descriptor.produces.contains(.factorized) {
                return "would fill the zeros that \(previous.id) made; factorize first, then prune the factors"
            }
            if previous.produces.contains(.sharedWeights), descriptor.produces.contains(.factorized) {
                return "would undo the shared values that \(previous.id) made; factorize first"
            }
            if previous.produces.contains(.sharedWeights), descriptor.produces.contains(.refittedWeights) {
                return "would undo the shared values that \(previous.id) made; put it first"
            }
        }
        return nil
    }
}
