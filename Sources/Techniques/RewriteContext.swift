import EngineSupport
import ModelGraph
import Synchronization

/// What a rewrite may use beside the model.
public struct RewriteContext: Sendable {
    /// Runs the model on calibration data; `nil` when there is no data or no runtime.
    public var calibration: (any CalibrationSource)?
    /// What is missing where there is no `calibration`, in words.
    public var calibrationNeed = "needs calibration data (--data) and ONNX Runtime"
    /// The model before the first step of the recipe, for steps that repair what earlier ones did; `nil` outside a recipe.
    public var baseline: Model?
    /// Times models, for techniques that choose what is fastest here; `nil` where there is no runtime, or where nothing is to hang on the machine.
    public var clock: (any OperatorClock)?
    /// What single families need beside, such as what to train on.
    public var facets = Facets()
    /// Shapes of intermediate values at batch 1, by value name, where known (from the runtime). Those of `baseline`.
    public var shapes: [String: [Int]]
    /// Seed of everything random.
    public var seed: UInt64
    public var cancellation: Cancellation
    /// Fraction done in 0…1 and what is being done.
    public var progress: @Sendable (Double, String) -> Void
    /// Remembers the results of expensive per-layer work by content.
    public var memo: LayerMemo
    /// Remarks for the user: what was skipped or adjusted and why.
    public var notes: Notes

    public init(
        calibration: (any CalibrationSource)? = nil, clock: (any OperatorClock)? = nil, baseline: Model? = nil, shapes: [String: [Int]] = [:], seed: UInt64 = 0,
        cancellation: Cancellation = Cancellation(), progress: @escaping @Sendable (Double, String) -> Void = { _, _ in },
        memo: LayerMemo = LayerMemo(), notes: Notes = Notes()
    ) {
        self.calibration = calibration
        self.clock = clock
        self.baseline = baseline
        self.shapes = shapes
        self.seed = seed
        self.cancellation = cancellation
        self.progress = progress
        self.memo = memo
        self.notes = notes
    }

    /// Collects remarks from concurrent work.
    public final class Notes: Sendable {
        private let lines = Mutex<[String]>([])
        private let trained = Mutex<TrainingSummary?>(nil)
        private let untrained = Mutex(false)
        public init() {}
        /// A training was not run: the step left the weights that it would have started from.
        public var isUntrained: Bool {
            get { untrained.withLock { $0 } }
            set { untrained.withLock { $0 = newValue } }
        }
        /// What a step that learns did.
        public var training: TrainingSummary? {
            get { trained.withLock { $0 } }
            set { trained.withLock { $0 = newValue } }
        }
        /// A few names and how many more, for use in a remark.
        package static func list(_ names: [String]) -> String {
            names.count <= 4 ? names.joined(separator: ", ") : names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more"
        }
        public func add(_ line: String) { lines.withLock { if !$0.contains(line) { $0.append(line) } } }
        public var all: [String] { lines.withLock { $0 } }
    }
}

extension RewriteContext {
    /// - Throws: `EngineError` that says what is missing.
    package func requiredCalibration() throws(EngineError) -> any CalibrationSource {
        guard let calibration else { throw EngineError(.data, calibrationNeed) }
        return calibration
    }

    /// This context for one of several parts of the work, with its progress inside the whole.
    package func part(_ number: Int, of count: Int) -> RewriteContext {
        var part = self
        let progress = progress
        part.progress = { fraction, what in progress((Double(number) + fraction) / Double(max(count, 1)), what) }
        return part
    }
}

/// Streams intermediate values of a model over the calibration split.
public protocol CalibrationSource: Sendable {
    /// Identifies the data, for memoisation.
    var contentHash: ContentHash { get }
    /// Number of calibration samples.
    var sampleCount: Int { get }
    /// Class of each sample, in the order in which they come; `nil` where the data have none.
    var labels: [Int]? { get }

    /// Runs `model` over at most `limit` samples in batches and hands each batch's values of the named tensors (float32,
    /// row-major, batch first as the model has it) to `body`. Keeps no activation after `body` returns. Calls to
    /// `body` come one at a time, in batch order.
    func forEachBatch(
        of model: Model, values: [String], limit: Int, cancellation: Cancellation,
        body: (_ values: [CalibrationValue]) throws -> Void
    ) throws

    /// The same for several models at once, all on the same samples: `body` gets the values of each, by model, of one batch.
    func forEachBatch(
        ofAll models: [(model: Model, values: [String])], limit: Int, cancellation: Cancellation,
        body: (_ values: [[CalibrationValue]]) throws -> Void
    ) throws

    /// Runs over at most `limit` samples in batches and hands the gradients of each batch's mean loss, cross-entropy with the labels, by name of the
    /// weight to `body`. Weights that no gradient reaches are missing.
    /// - Throws: `EngineError` without labels, or for a model that cannot be differentiated.
    func gradients(of model: Model, weights: [String], limit: Int, cancellation: Cancellation, body: (_ gradients: [String: [Float]]) throws -> Void) throws
}

extension CalibrationSource {
    public var labels: [Int]? { nil }

    public func gradients(of model: Model, weights: [String], limit: Int, cancellation: Cancellation, body: (_ gradients: [String: [Float]]) throws -> Void) throws {
        throw EngineError(.data, "this calibration data give no gradients")
    }

    /// For sources that run one model at a time only.
    public func forEachBatch(
        ofAll models: [(model: Model, values: [String])], limit: Int, cancellation: Cancellation,
        body: (_ values: [[CalibrationValue]]) throws -> Void
    ) throws {
        guard let only = models.first, models.count == 1 else { throw EngineError(.data, "this calibration data cannot be run through two models at once") }
        try forEachBatch(of: only.model, values: only.values, limit: limit, cancellation: cancellation) { try body([$0]) }
    }
}

/// One intermediate tensor of one batch.
public struct CalibrationValue {
    public var name: String
    public var shape: [Int]
    /// Float elements; empty if the value is not a floating-point tensor. Valid only during the call.
    public var floats: UnsafeBufferPointer<Float>

    public init(name: String, shape: [Int], floats: UnsafeBufferPointer<Float>) {
        self.name = name
        self.shape = shape
        self.floats = floats
    }
}

/// A bounded store of tensors made by expensive per-layer work, keyed by the content of what went in, so that a key
/// press recomputes only the layers it changed.
public final class LayerMemo: Sendable {
    private let cache: SharedCache<String, [Tensor]>

    /// - Parameter capacity: bytes of tensors kept at most.
    public init(capacity: Int = 512 << 20) { cache = SharedCache(maximumCost: capacity) }

    /// What is remembered for `key`.
    package func known(_ key: String) -> [Tensor]? { cache.value(for: key) }

    /// The remembered tensors for `key`, or those `compute` makes now. `key` must name the technique, its parameters
    /// and the content hash of every input.
    public func tensors(_ key: String, compute: () throws -> [Tensor]) rethrows -> [Tensor] {
        try cache.value(for: key, cost: { $0.reduce(0) { $0 + $1.storage.byteCount } }, orMake: compute)
    }
}
