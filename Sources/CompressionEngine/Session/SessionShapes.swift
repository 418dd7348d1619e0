import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Recipes
import Synchronization
import Techniques

/// Shapes of intermediate values, found by running models once: right for every operator.
final class SessionShapes: Sendable {
    private struct State {
        var guess: PlaceholderInputs.Guess?
        var doesNotRun = false
    }

    private let opened: OpenedModel
    private let state = Mutex(State())
    private let known = SharedCache<ContentHash, ValueShapes>(maximumCount: 64)

    init(_ opened: OpenedModel) { self.opened = opened }

    /// False once the opened model was found not to run here: only sizes are known then.
    var runs: Bool { state.withLock { !$0.doesNotRun } }

    func noteThatItDoesNotRun() { state.withLock { $0.doesNotRun = true } }

    /// Models of equal structure share one probe.
    /// - Returns: `nil` without runtime.
    func shapes(of model: Model, cancellation: Cancellation) throws -> ValueShapes? {
        guard let runtime = opened.runtime else { return nil }
        let key = model.structureHash
        if let shapes = known.value(for: key) { return shapes }
        let profiler = TechniqueRegistry.profiler(of: model)
        // Inside branches nothing may run: there the shapes are those of the network without them.
        let model = profiler?.straightened ?? model
        var shapes =
            opened.validation != nil
            ? try ShapeProbe.shapes(of: model, inputs: try probeInputs(.usual), library: runtime, cancellation: cancellation)
            : try guessed(model, runtime, cancellation)
        profiler?.complete(&shapes)
        known.insert(shapes, for: key)
        return shapes
    }

    /// Shapes for the first guess at open extents with which the model runs; later models of the session take the same.
    private func guessed(_ model: Model, _ library: RuntimeLibrary, _ cancellation: Cancellation) throws -> ValueShapes {
        let known = state.withLock { $0.guess }
        var firstError: (any Error)?
        for guess in known.map({ [$0] }) ?? PlaceholderInputs.Guess.allCases {
            do {
                let shapes = try ShapeProbe.shapes(of: model, inputs: try probeInputs(guess), library: library, cancellation: cancellation)
                state.withLock { $0.guess = guess }
                return shapes
            } catch let error as EngineError where error.kind == .cancelled {
                throw error
            } catch {
                firstError = firstError ?? error
            }
        }
        throw firstError ?? EngineError(.runtime, "the model does not run")
    }

    /// One sample (or a placeholder) as tensors.
    private func probeInputs(_ guess: PlaceholderInputs.Guess) throws -> [Tensor] {
        guard let samples = opened.examples ?? opened.validation, samples.count > 0 else { return try placeholders(guess) }
        let rows = min(samples.fixedBatch(of: opened.model) ?? 1, samples.count)
        return try samples.inputs.enumerated().map { index, input in
            try Tensor(
                name: input.name, elementType: ElementType(rawValue: input.type.rawValue), dims: input.valueShape(rows: rows),
                storage: TensorStorage(viewing: try samples.prepared.samples(0..<rows, input: index), owner: samples.prepared))
        }
    }

    private func placeholders(_ guess: PlaceholderInputs.Guess) throws -> [Tensor] {
        try PlaceholderInputs.tensors(for: opened.model.graph, overrides: opened.inputShapes, guess: guess)
    }

    /// Shapes of the inputs with which the opened model ran; empty where it was not run, or did not.
    func inputShapes() -> [String: [Int]] {
        let (guess, runs) = state.withLock { ($0.guess, !$0.doesNotRun) }
        guard runs, opened.validation != nil || guess != nil, let inputs = try? probeInputs(guess ?? .usual) else { return [:] }
        return Dictionary(inputs.map { ($0.name, $0.dims) }, uniquingKeysWith: { $1 })
    }

    /// Made-up inputs with which the opened model runs.
    func placeholders() throws -> [Tensor] {
        _ = try shapes(of: opened.model, cancellation: Cancellation())
        return try placeholders(state.withLock { $0.guess } ?? .usual)
    }
}

extension EngineSession {
    /// Shapes of a model's intermediate values at batch 1 (or the batch the model fixes); `nil` without runtime.
    /// Models of equal structure share one probe.
    public func shapes(of model: Model, cancellation: Cancellation = Cancellation()) throws -> ValueShapes? {
        try shapeProbes.shapes(of: model, cancellation: cancellation)
    }

    /// False once the opened model was found not to run here: only sizes are known then.
    public var runs: Bool { shapeProbes.runs }

    func noteThatItDoesNotRun() { shapeProbes.noteThatItDoesNotRun() }
}
