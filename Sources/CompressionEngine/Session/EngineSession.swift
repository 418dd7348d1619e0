import Datasets
import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Recipes
import Synchronization
import Techniques
import Training

/// A model, its data and the runtime, opened together: everything the headless commands and the explorer do to them.
///
/// Works without data (figures only) and without the runtime (sizes and weight-only techniques only). Each part of the work is a
/// type with a state of its own, in a file of its own beside this one.
public final class EngineSession: Sendable {
    let opened: OpenedModel
    let shapeProbes: SessionShapes
    let accuracies: SessionAccuracy
    let latencies: SessionLatency
    let kernels: SessionKernels
    let profiles: SessionProfiles
    public let executor: RecipeExecutor
    /// Where trainings of this user are kept.
    public let trainings: TrainingStore
    /// Runs calibration data, where there is data and a runtime.
    public let calibration: (any CalibrationSource)?
    /// Times models with that data.
    package let clock: (any OperatorClock)?
    /// Names what accuracies hang on beside model and recipe: validation samples, and the teacher if there is one.
    let evaluationHash: String

    public var model: Model { opened.model }
    public var layers: [Layer] { opened.layers }
    public var info: SessionInfo { opened.info }
    public var runtime: RuntimeLibrary? { opened.runtime }
    public var data: Dataset? { opened.data }
    public var validation: SampleSet? { opened.validation }
    /// Whom steps that learn take as their teacher, in place of `model`; `nil` for none.
    public var teacher: Model? { opened.teacher }
    /// How much is kept on disk.
    var limits: StoreLimits { opened.request.limits }

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
        EngineSession(try OpenedModel.open(request, inputShapes: inputShapes, cancellation: cancellation, opened: opened, progress: progress))
    }

    init(_ opened: OpenedModel) {
        self.opened = opened
        evaluationHash = (opened.validation?.evaluationHash ?? "") + (opened.teacher.map { " taught by \($0.contentHash)" } ?? "")
        shapeProbes = SessionShapes(opened)
        accuracies = SessionAccuracy(opened)
        latencies = SessionLatency(opened, shapeProbes)
        kernels = SessionKernels(opened, shapeProbes, latencies)
        profiles = SessionProfiles(opened, shapeProbes, accuracies)
        trainings = .standard(limit: opened.request.limits.trainingBytes)
        executor = RecipeExecutor(baseline: opened.model)
        if let runtime = opened.runtime, let samples = opened.calibration {
            calibration = CalibrationRun(samples: samples, library: runtime)
            clock = MachineClock(samples: samples, library: runtime)
        } else {
            (calibration, clock) = (nil, nil)
        }
    }

    /// The same data and runtime with another model of the same inputs and outputs as the baseline.
    public func replacingModel(_ other: Model) -> EngineSession { EngineSession(opened.replacing(other)) }
}

// MARK: - Recipes

extension EngineSession {
    /// Why techniques do not apply to layers of the model: `refusals[technique][layer position]`.
    public func refusals(shapes: ValueShapes?) -> [String: [Int: String]] {
        // Asked of all cores: some follow channels through the whole graph.
        let wide = Mutex<Model?>(nil)
        let all = try? Parallel.map(TechniqueRegistry.all) { technique in
            let fallback = PrecisionFallback(
                of: technique, layers: layers, in: model, shapes: shapes?.dims ?? [:], selected: layers.indices,
                widened: { model in
                    wide.withLock { known in
                        let made = known ?? SinglePrecisionGraph.converted(model)
                        known = made
                        return made
                    }
                })
            var reasons: [Int: String] = [:]
            for (index, reason) in fallback.refusals.enumerated() {
                if technique.descriptor.needsCalibration, calibration == nil {
                    reasons[index] = info.calibrationNeed
                } else if let reason {
                    reasons[index] = reason
                }
            }
            return (technique.descriptor.id, reasons)
        }
        return Dictionary(all ?? [], uniquingKeysWith: { $1 })
    }

    /// Applies a recipe to the model.
    /// - Parameter training: what steps that learn train on; by default the session's own, without which they are an error.
    public func apply(
        _ recipe: Recipe, training: TrainingSource? = nil, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> AppliedModel {
        let shapes = (try? self.shapes(of: model, cancellation: cancellation))?.dims ?? [:]
        var context = RewriteContext(calibration: calibration, clock: clock, shapes: shapes, seed: recipe.seed, cancellation: cancellation, progress: progress)
        context.calibrationNeed = info.calibrationNeed
        if recipe.learns { context.training = try training ?? trainingSource() }
        let applied = try executor.apply(recipe, context: context)
        try requireUnchangedSources()
        return applied
    }
}
