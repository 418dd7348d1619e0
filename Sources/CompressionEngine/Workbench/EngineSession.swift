import Archive
import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime
import Recipes
import Synchronization
import Techniques
import Training

/// A model, its data and the runtime, opened together: everything the headless commands and the explorer do to them.
///
/// Works without data (figures only) and without the runtime (sizes and weight-only techniques only).
public final class EngineSession: Sendable {
    public let model: Model
    public let layers: [Layer]
    public let info: SessionInfo
    public let runtime: RuntimeLibrary?
    public let data: Dataset?
    public let validation: SampleSet?
    /// Runs calibration data, where there is data and a runtime.
    public let calibration: (any CalibrationSource)?
    public let executor: RecipeExecutor
    /// Shapes given for inputs whose extents the model leaves open.
    let inputShapes: [String: [Int]]
    /// Whom steps that learn take as their teacher, in place of `model`; `nil` for none.
    public let teacher: Model?
    /// Names what accuracies hang on beside model and recipe: validation samples, and the teacher if there is one.
    let evaluationHash: String
    /// How much is kept on disk.
    let limits: StoreLimits
    /// Where trainings of this user are kept.
    public let trainings: TrainingStore
    private let cache = Mutex(Cache())
    /// What was found about models with early exits, whatever their thresholds.
    let exitProfiles = SharedCache<ContentHash, ExitProfile>(maximumCount: 32)
    private let knownShapes = SharedCache<ContentHash, ValueShapes>(maximumCount: 64)

    private struct Cache {
        var doesNotRun = false
        var scores: [String: SampleScores] = [:]
        var reference: [String: AccuracyEvaluation.ReferenceOutputs] = [:]
        var baselineRunners: [Int: ModelRunner] = [:]
        var guess: PlaceholderInputs.Guess?
        /// Whether samples of a batch leave each other alone, found out on the baseline.
        var areIndependent: Bool?
    }

    /// Opens model, data and runtime.
    ///
    /// A missing runtime is no error here: `info.runtimeProblem` then says what is wrong.
    /// - Parameters:
    ///   - inputShapes: shapes by input name, for models that leave extents open and have no data.
    ///   - opened: called as soon as the model is parsed, before runtime and data.
    ///   - progress: phase and fraction.
    /// - Throws: `ModelGraphError` for the model, `EngineError` for the data.
    public static func open(
        _ request: OpenRequest, inputShapes: [String: [Int]] = [:], cancellation: Cancellation = Cancellation(),
        opened: (Model) -> Void = { _ in }, progress: (String, Double?) -> Void = { _, _ in }
    ) throws -> EngineSession {
        progress("reading \(request.modelPath)", nil)
        let model = try Model.read(path: request.modelPath)
        opened(model)
        try cancellation.check()
        progress("hashing weights", nil)
        let layers = model.layers()
        var info = SessionInfo(
            modelPath: request.modelPath, modelName: ((request.modelPath as NSString).lastPathComponent as NSString).deletingPathExtension,
            modelHash: model.contentHash.tagged, opset: model.opset, producer: model.producerName, layers: layers)
        info.inputs = model.graph.requiredInputs.map(\.summary)
        info.outputs = model.graph.outputs.map(\.summary)
        info.warnings = Self.warnings(model, layers)
        info.fileBytes = try model.storedByteCount(path: request.modelPath)
        progress("loading ONNX Runtime", nil)
        var runtime: RuntimeLibrary?
        do {
            runtime = try RuntimeLibrary.load(path: request.runtimePath)
            info.runtimeVersion = runtime?.version.description
        } catch {
            info.runtimeProblem = "\(error)"
        }
        var data: Dataset?
        var validation: SampleSet?
        var calibration: SampleSet?
        if let path = request.dataPath {
            progress("reading \(path)", nil)
            var opened = try DatasetLoader.open(path: path, inputs: model.graph.requiredInputs.map(\.inputDescription))
            if opened.isMetricAssumed, opened.metric == .agreement, !AccuracyEvaluation.hasClassScores(model) {
                opened.metric = .cosine
                info.warnings.append("the model's output is not one score per class: its cosine with the original's is measured")
            }
            validation = try SampleSet(opened.validation, metric: opened.metric)
            calibration = try opened.calibration.map { try SampleSet($0, metric: opened.metric) }
            info.dataName = opened.name
            info.metric = validation?.metric
            info.validationCount = opened.validation.count
            info.calibrationCount = opened.calibration?.count ?? 0
            info.testCount = opened.test?.count ?? 0
            info.warnings += opened.notes
            data = opened
        }
        return EngineSession(
            model: model, layers: layers, info: info, runtime: runtime, data: data, validation: validation, calibration: calibration,
            inputShapes: inputShapes, teacher: try request.teacherPath.map { try Self.teacher($0, of: model) },
            limits: request.limits)
    }

    /// A model to learn from.
    /// - Throws: `ModelGraphError` if it cannot be read, `EngineError` if it does not take and give what `model` does.
    private static func teacher(_ path: String, of model: Model) throws -> Model {
        let teacher = try Model.read(path: path)
        let (given, wanted) = (Set(model.graph.requiredInputs.map(\.name)), teacher.graph.requiredInputs.map(\.name))
        if let missing = wanted.first(where: { !given.contains($0) }) {
            throw EngineError(.technique, "\(path): cannot teach this model: it takes '\(missing)', which the model does not")
        }
        let (ours, theirs) = (model.graph.outputs.first?.shape?.last?.fixedValue, teacher.graph.outputs.first?.shape?.last?.fixedValue)
        if let ours, let theirs, ours != theirs { throw EngineError(.technique, "\(path): cannot teach this model: it gives \(theirs) scores, the model \(ours)") }
        return teacher
    }

    init(
        model: Model, layers: [Layer], info: SessionInfo, runtime: RuntimeLibrary?, data: Dataset?, validation: SampleSet?,
        calibration samples: SampleSet?, inputShapes: [String: [Int]], teacher: Model? = nil, limits: StoreLimits = StoreLimits()
    ) {
        self.limits = limits
        trainings = .standard(limit: limits.trainingBytes)
        self.teacher = teacher
        evaluationHash = (validation?.evaluationHash ?? "") + (teacher.map { " taught by \($0.contentHash)" } ?? "")
        self.model = model
        self.layers = layers
        self.info = info
        self.runtime = runtime
        self.data = data
        self.validation = validation
        self.inputShapes = inputShapes
        if let runtime, let samples { calibration = CalibrationRun(samples: samples, library: runtime) } else { calibration = nil }
        executor = RecipeExecutor(baseline: model)
    }

    private static func warnings(_ model: Model, _ layers: [Layer]) -> [String] {
        var warnings: [String] = []
        let listed = Set(model.graph.inputs.map(\.name)).intersection(model.graph.initializers.keys)
        if !listed.isEmpty {
            warnings.append(
                "\(listed.count) weights are listed as graph inputs, which keeps ONNX Runtime from folding them; quantized weights are not listed")
        }
        let blocked = model.graph.nodes.count { $0.domain == "com.microsoft.nchwc" && $0.opType == "Conv" }
        if blocked > 0 {
            warnings.append("\(blocked) convolutions were laid out by ONNX Runtime for one kind of processor and are no layers here: start from the model before it was optimized")
        }
        if TransposeFusionCrash.threatens(model) {
            warnings.append("ONNX Runtime crashes while loading this model unless its MatmulTransposeFusion is switched off, as here; the step float32 mends it")
        }
        let quantized = layers.count { $0.quantization != nil }
        if quantized > 0 { warnings.append("\(quantized) of \(layers.count) layers are quantized already and are left as they are") }
        let counted = Set(ExitDeclaration(model)?.paths(in: model) ?? [])
        let inSubgraphs = layers.count { !$0.path.isMain && !counted.contains($0.path) }
        if inSubgraphs > 0 { warnings.append("\(inSubgraphs) layers sit in subgraphs (If, Loop, Scan): their MACs are not counted") }
        if !model.functions.isEmpty { warnings.append("\(model.functions.count) local functions are kept but not looked into") }
        return warnings
    }
}

extension ValueInfo {
    /// Name, type and shape on one line.
    public var summary: String {
        let dims = shape.map { "[" + $0.map(\.description).joined(separator: ", ") + "]" } ?? ""
        return "\(name): \(elementType?.description ?? "?")\(dims)"
    }
}

// MARK: - Figures

extension EngineSession {
    /// One sample (or a placeholder) as tensors, for probing shapes.
    private func probeInputs(guess: PlaceholderInputs.Guess) throws -> [Tensor] {
        guard let samples = validation, samples.count > 0 else {
            return try PlaceholderInputs.tensors(for: model.graph, overrides: inputShapes, guess: guess)
        }
        let rows = min(samples.fixedBatch(of: model) ?? 1, samples.count)
        return try samples.inputs.enumerated().map { index, input in
            try Tensor(
                name: input.name, elementType: ElementType(rawValue: input.type.rawValue), dims: input.valueShape(rows: rows),
                storage: TensorStorage(viewing: try samples.prepared.samples(0..<rows, input: index), owner: samples.prepared))
        }
    }

    /// Shapes of a model's intermediate values at batch 1 (or the batch the model fixes); `nil` without runtime.
    /// Models of equal structure share one probe.
    public func shapes(of model: Model, cancellation: Cancellation = Cancellation()) throws -> ValueShapes? {
        guard let runtime else { return nil }
        let key = model.structureHash
        if let known = knownShapes.value(for: key) { return known }
        var shapes: ValueShapes
        let exits = ExitDeclaration(model)
        // Behind exits nothing may run: there the shapes are those of the network without branches.
        let model = exits?.unrolled(model) ?? model
        if validation != nil {
            shapes = try ShapeProbe.shapes(of: model, inputs: try probeInputs(guess: .usual), library: runtime, cancellation: cancellation)
        } else {
            shapes = try guessedShapes(of: model, library: runtime, cancellation: cancellation)
        }
        for exit in exits?.exits ?? [] {
            shapes.values[exit.gathered] = shapes[exit.cut]
        }
        knownShapes.insert(shapes, for: key)
        return shapes
    }

    /// False once the opened model was found not to run here: only sizes are known then.
    public var runs: Bool { cache.withLock { !$0.doesNotRun } }

    func noteThatItDoesNotRun() { cache.withLock { $0.doesNotRun = true } }

    /// Shapes for the first guess at open extents with which the model runs; later models of the session take the same.
    private func guessedShapes(of model: Model, library: RuntimeLibrary, cancellation: Cancellation) throws -> ValueShapes {
        let known = cache.withLock { $0.guess }
        var firstError: (any Error)?
        for guess in known.map({ [$0] }) ?? PlaceholderInputs.Guess.allCases {
            do {
                let shapes = try ShapeProbe.shapes(
                    of: model, inputs: try probeInputs(guess: guess), library: library, cancellation: cancellation)
                cache.withLock { $0.guess = guess }
                return shapes
            } catch let error as EngineError where error.kind == .cancelled {
                throw error
            } catch {
                firstError = firstError ?? error
            }
        }
        throw firstError ?? EngineError(.runtime, "the model does not run")
    }

    /// Every figure of a model that needs no labels. The sizes are those of files that can be written.
    /// - Parameter slowSizes: also gzip and pack, which takes time in proportion to the weights.
    /// - Parameter measuringExits: of a model with early exits, run the validation split for how many leave where; otherwise that is as on the calibration data.
    public func figures(
        of model: Model, slowSizes: Bool = true, measuringExits: Bool = true, cancellation: Cancellation = Cancellation()
    ) throws -> ModelFigures {
        var shapes: ValueShapes?
        do {
            shapes = try self.shapes(of: model, cancellation: cancellation)
        } catch let error as EngineError where error.kind == .runtime && (validation == nil || !runs) {
            // Without data the inputs are guesses: a model that rejects them still has sizes. So has one that never runs.
            shapes = nil
        }
        let exits = measuringExits ? try exitFigures(of: model, cancellation: cancellation) : nil
        var figures = try FigureCounting.figures(of: model, shapes: shapes, exitShares: exits.map { Array($0.shares.dropLast()) })
        figures.exits = exits
        if slowSizes { try addSlowSizes(&figures, of: model, cancellation: cancellation) }
        return figures
    }

    /// Figures of the model as it was opened: its serialized size is that of the files it was read from.
    public func baselineFigures(slowSizes: Bool = true, cancellation: Cancellation = Cancellation()) throws -> ModelFigures {
        var figures = try figures(of: model, slowSizes: slowSizes, cancellation: cancellation)
        figures.serializedBytes = Figure(Double(info.fileBytes), .measured)
        return figures
    }

    /// Adds to figures of two models, at the same time, what `addSlowSizes` adds; without a second one it is as the first.
    public func withSlowSizes(
        _ first: (figures: ModelFigures, model: Model), _ second: (figures: ModelFigures, model: Model)?, cancellation: Cancellation = Cancellation()
    ) throws -> (first: ModelFigures, second: ModelFigures) {
        @Sendable func added(_ pair: (figures: ModelFigures, model: Model)) throws -> ModelFigures {
            var figures = pair.figures
            try addSlowSizes(&figures, of: pair.model, cancellation: cancellation)
            return figures
        }
        guard let second else {
            let figures = try added(first)
            return (figures, figures)
        }
        return try Parallel.both({ try added(first) }, { try added(second) })
    }

    /// Adds the theoretical size, the size after gzip, and the size in the packed archive, in total and by layer.
    public func addSlowSizes(_ figures: inout ModelFigures, of model: Model, cancellation: Cancellation) throws {
        figures.theoreticalBytes = Figure(try TheoreticalSize.bits(of: model, cancellation: cancellation) / 8, .measured)
        // gzip is one long stream on one core; packing goes on beside it.
        let (transfer, packed) = try Parallel.both(
            { try DeflateSize.gzip(model.serialized(), cancellation: cancellation) }, { try Archive.pack(model, cancellation: cancellation) })
        figures.packedBytes = Figure(Double(packed.byteCount), .measured)
        let byName = Dictionary(packed.tensors.map { ($0.name, $0.packedBytes) }, uniquingKeysWith: { first, _ in first })
        for (index, layer) in model.layers().enumerated() where index < figures.layers.count && figures.layers[index].id == layer.id {
            let names = layer.weightNames + (layer.bias.map { [$0] } ?? [])
            figures.layers[index].packedBytes = Double(names.reduce(0) { $0 + (byName[$1] ?? 0) })
        }
        figures.transferBytes = Figure(Double(transfer), .measured)
    }

    /// Why techniques do not apply to layers of the model: `refusals[technique][layer position]`.
    public func refusals(shapes: ValueShapes?) -> [String: [Int: String]] {
        var all: [String: [Int: String]] = [:]
        var wide: Model?
        for technique in TechniqueRegistry.all {
            let descriptor = technique.descriptor
            var reasons: [Int: String] = [:]
            let fallback = PrecisionFallback(of: technique, layers: layers, in: model, shapes: shapes?.dims ?? [:], selected: layers.indices) { model in
                let made = wide ?? SinglePrecisionGraph.converted(model)
                wide = made
                return made
            }
            for (index, reason) in fallback.refusals.enumerated() {
                if descriptor.needsCalibration, calibration == nil {
                    reasons[index] = "needs calibration data and ONNX Runtime"
                } else if let reason {
                    reasons[index] = reason
                }
            }
            all[descriptor.id] = reasons
        }
        return all
    }

    /// Applies a recipe to the model.
    /// - Parameter training: what steps that learn train on; by default the session's own, without which they are an error.
    public func apply(
        _ recipe: Recipe, training: TrainingSource? = nil, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> AppliedModel {
        let shapes = (try? self.shapes(of: model, cancellation: cancellation))?.dims ?? [:]
        var context = RewriteContext(calibration: calibration, shapes: shapes, seed: recipe.seed, cancellation: cancellation, progress: progress)
        if recipe.learns { context.training = try training ?? trainingSource() }
        return try executor.apply(recipe, context: context)
    }
}

// MARK: - Accuracy

extension EngineSession {
    /// A split's samples. The test split is made ready only here, when asked for by name.
    func samples(_ split: SplitName) throws -> SampleSet {
        if split == .validation, let validation { return validation }
        guard let data else { throw EngineError(.data, "no data set: give one with --data") }
        guard let part = data.split(split) else { throw EngineError(.data, "\(data.path): has no \(split.rawValue) split") }
        return try SampleSet(part, metric: data.metric)
    }

    /// The baseline's outputs on a split without labels; known after `baselineScores`.
    func knownReference(_ split: SplitName) -> AccuracyEvaluation.ReferenceOutputs? { cache.withLock { $0.reference[split.rawValue] } }

    private func requireRuntime() throws -> RuntimeLibrary {
        guard let runtime else { throw EngineError(.runtime, info.runtimeProblem ?? "ONNX Runtime is missing") }
        return runtime
    }

    /// Accuracy of a model on a split, paired with the baseline, reported as it narrows.
    /// - Returns: the last estimate: complete unless `limit` says otherwise.
    public func evaluate(
        _ candidate: Model, split: SplitName = .validation, limit: Int? = nil, workers: Int? = nil, cancellation: Cancellation = Cancellation(),
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }
    ) throws -> AccuracyEstimate {
        try evaluate(candidate, part: nil, split: split, limit: limit, workers: workers, cancellation: cancellation, update: update)
    }

    /// The same, where only a part of the candidate needs to run.
    /// - Parameter part: what is run instead, and what it is given for samples of a range.
    func evaluate(
        _ candidate: Model, part: (model: Model, feed: @Sendable (Range<Int>) throws -> [(String, Value)])?, split: SplitName = .validation,
        limit: Int? = nil, workers: Int? = nil, cancellation: Cancellation = Cancellation(),
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }
    ) throws -> AccuracyEstimate {
        let runtime = try requireRuntime()
        let set = try samples(split)
        let baseline = try baselineScores(split, limit: limit, workers: workers, cancellation: cancellation)
        let (reference, oneByOne) = cache.withLock { ($0.reference[split.rawValue], $0.areIndependent == false) }
        let evaluation = try AccuracyEvaluation(
            samples: set, model: candidate, reference: reference, oneByOne: oneByOne,
            workers: workers ?? ProcessInfo.processInfo.activeProcessorCount, feed: part?.feed)
        let runner = try ModelRunner(part?.model ?? candidate, library: runtime)
        return try evaluation.run(runner, limit: limit, baseline: baseline, cancellation: cancellation, update: update).estimate
    }

    /// Scores of the baseline on a split, run once and kept.
    @discardableResult
    public func baselineScores(
        _ split: SplitName = .validation, limit: Int? = nil, workers: Int? = nil, cancellation: Cancellation = Cancellation(),
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }
    ) throws -> SampleScores {
        let runtime = try requireRuntime()
        let set = try samples(split)
        let needed = min(limit ?? set.count, set.count)
        if let known = cache.withLock({ $0.scores[split.rawValue] }), !known.scores.prefix(needed).contains(where: \.isNaN) { return known }
        let runner = try ModelRunner(model, library: runtime, label: "baseline")
        let known = cache.withLock { $0.areIndependent }
        let areIndependent = try known ?? (set.labels == nil || AccuracyEvaluation.areIndependent(set, model, runner, cancellation: cancellation))
        cache.withLock { $0.areIndependent = areIndependent }
        var reference: AccuracyEvaluation.ReferenceOutputs?
        if set.labels == nil {
            reference = try AccuracyEvaluation(samples: set, model: model, oneByOne: !areIndependent)
                .referenceOutputs(runner, cancellation: cancellation)
            cache.withLock { $0.reference[split.rawValue] = reference }
        }
        let evaluation = try AccuracyEvaluation(
            samples: set, model: model, reference: reference, oneByOne: !areIndependent,
            workers: workers ?? ProcessInfo.processInfo.activeProcessorCount)
        let scores = try evaluation.run(runner, limit: limit, cancellation: cancellation, update: update).scores
        cache.withLock { $0.scores[split.rawValue] = scores }
        return scores
    }

    /// Whether a sample's output does not depend on who else is in its batch; known after `baselineScores`.
    var samplesAreIndependent: Bool { cache.withLock { $0.areIndependent } ?? true }

    /// The baseline's accuracy from scores already known; `nil` before `baselineScores`.
    public func baselineEstimate(_ split: SplitName = .validation) -> AccuracyEstimate? {
        guard let scores = cache.withLock({ $0.scores[split.rawValue] }) else { return nil }
        var tally = PairedTally(metric: scores.metric)
        for score in scores.scores where !score.isNaN { tally.add(score, baseline: nil) }
        return tally.estimate(total: scores.scores.count)
    }
}

// MARK: - Latency

extension EngineSession {
    /// Interleaved latency of a model against the baseline at a batch size, and the model's time by operator.
    public func latency(
        of candidate: Model, batch: Int = 1, threads: Int = 1, seconds: Double = 2, operators: Bool = true,
        cancellation: Cancellation = Cancellation(), progress: (Double) -> Void = { _ in }
    ) throws -> (LatencyFigures, [OperatorTime]) {
        let runtime = try requireRuntime()
        // Where the time hangs on the sample, each call gets another.
        let isConditional = ExitDeclaration(candidate) != nil || ExitDeclaration(model) != nil
        let (inputs, rows) = try latencyInputs(batch: batch)
        var further: [[(String, Value)]] = []
        if isConditional, let samples = validation, samples.count >= rows {
            further = try stride(from: rows, through: min(samples.count, 4096) - rows, by: rows).map { try samples.values($0..<($0 + rows)) }
        }
        let known = cache.withLock { $0.baselineRunners[threads] }
        let baseline = try known ?? ModelRunner(model, library: runtime, threads: threads, label: "baseline")
        cache.withLock { $0.baselineRunners[threads] = baseline }
        let runner = try ModelRunner(candidate, library: runtime, threads: threads)
        let figures = try LatencyMeasurement.compare(
            baseline: baseline, candidate: runner, inputs: isConditional ? [inputs] + further : [inputs], outputs: model.graph.outputs.map(\.name), batch: rows, threads: threads,
            seconds: seconds, version: runtime.version.description, cancellation: cancellation, progress: progress)
        let times =
            operators ? try OperatorProfile.measure(candidate, library: runtime, inputs: inputs, threads: threads, cancellation: cancellation) : []
        return (figures, times)
    }

    /// Values for one call: samples of the validation split, or placeholders.
    private func latencyInputs(batch: Int) throws -> ([(String, Value)], Int) {
        if let samples = validation, samples.count > 0 {
            let rows = min(samples.fixedBatch(of: model) ?? batch, samples.count)
            return (try samples.values(0..<rows), rows)
        }
        _ = try shapes(of: model)
        let tensors = try PlaceholderInputs.tensors(for: model.graph, overrides: inputShapes, guess: cache.withLock { $0.guess } ?? .usual)
        return (try tensors.map { ($0.name, try RuntimeValues.view($0)) }, tensors.first?.dims.first ?? 1)
    }
}
