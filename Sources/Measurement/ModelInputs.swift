import Datasets
import EngineSupport
import Metrics
import ModelGraph
import OnnxRuntime

/// Samples with their labels, in a fixed shuffled order, so that the first k are a random sample of all.
public struct SampleSet: Sendable {
    package let prepared: PreparedSamples
    /// Class of each sample; `nil` where the metric compares with the baseline instead.
    public let labels: [Int]?
    public let metric: MetricKind
    /// Hash of samples, labels and preprocessing, for content addresses.
    public let contentHash: String

    /// - Throws: `EngineError` if a file is damaged or memory is short.
    public init(_ split: DatasetSplit, metric: MetricKind) throws {
        prepared = try split.prepared()
        labels = metric.needsLabels ? prepared.labels : nil
        self.metric = metric.needsLabels && labels == nil ? .agreement : metric
        contentHash = try split.contentHash
    }

    /// Names samples and metric, for results that hang on both. The metric one gets without asking is not named: results stored before it was stay found.
    package var evaluationHash: String { metric == .top1 || metric == .agreement && prepared.labels == nil ? contentHash : "\(contentHash) by \(metric.rawValue)" }

    public var count: Int { prepared.count }
    public var inputs: [SampleInput] { prepared.inputs }
    /// Bytes of one sample over all inputs.
    var sampleBytes: Int { inputs.reduce(0) { $0 + $1.bytesPerSample } }

    /// Values over samples `range`, viewing the set's memory without copying.
    public func values(_ range: Range<Int>) throws -> [(String, Value)] {
        try inputs.enumerated().map { index, input in
            (
                input.name,
                try RuntimeValues.view(
                    try prepared.samples(range, input: index), type: ElementType(rawValue: input.type.rawValue),
                    shape: input.valueShape(rows: range.count), owner: prepared)
            )
        }
    }

    /// The batch extent the model fixes for its first data input, if it does; 1 if an input has no batch extent.
    package func fixedBatch(of model: Model) -> Int? {
        guard let first = inputs.first else { return nil }
        if inputs.contains(where: \.isWhole) { return 1 }
        return model.graph.inputs.first { $0.name == first.name }?.shape?.first?.fixedValue.map { max($0, 1) }
    }
}

extension ValueInfo {
    /// What the data loader needs to know of a model input.
    package var inputDescription: ModelInputDescription {
        ModelInputDescription(name: name, type: elementType.flatMap { SampleType(rawValue: $0.rawValue) }, shape: shape?.map(\.fixedValue))
    }
}

/// Makes runtime values from the graph's tensors.
package enum RuntimeValues {
    package static func view(_ bytes: UnsafeRawBufferPointer, type: ElementType, shape: [Int], owner: AnyObject & Sendable) throws -> Value {
        guard let element = Value.ElementType(onnxDataType: Int(type.rawValue)) else {
            throw EngineError(.runtime, "element type \(type) cannot be handed to the runtime")
        }
        return try Value(borrowing: bytes, elementType: element, shape: shape, owner: owner)
    }

    package static func view(_ tensor: Tensor) throws -> Value {
        try view(tensor.storage.bytes, type: tensor.elementType, shape: tensor.dims, owner: tensor.storage)
    }
}

/// Inputs made up where there is no data: zeros (ones for integer and boolean inputs, so that masks let something
/// through), one sample, unknown extents guessed.
public enum PlaceholderInputs {
    /// What to put where the model leaves extents open; tried in turn until the model runs.
    public enum Guess: Sendable, CaseIterable {
        /// First extent 1 (the batch), images 3 × 224 × 224, else 64 (sequences).
        case usual
        /// Everything 1.
        case ones
        /// 1 but for the last: a short frame of sound, a second of it.
        case frame
        case second
        /// First 1, images of one channel 32 × 32, else 128.
        case small

        func extent(axis: Int, rank: Int) -> Int {
            let last = axis == rank - 1
            switch self {
            case .usual:
                if axis == 0 { return 1 }
                return rank == 4 ? (axis >= 2 ? 224 : 3) : 64
            case .ones: return 1
            case .frame: return last && rank > 1 ? 576 : 1
            case .second: return last && rank > 1 ? 16_000 : 1
            case .small:
                if axis == 0 { return 1 }
                return rank == 4 ? (axis >= 2 ? 32 : 1) : 128
            }
        }
    }

    /// Tensors for every required input. `overrides` gives shapes by input name.
    public static func tensors(for graph: Graph, overrides: [String: [Int]] = [:], guess: Guess = .usual) throws(EngineError) -> [Tensor] {
        var tensors: [Tensor] = []
        for input in graph.requiredInputs {
            guard let type = input.elementType, let width = type.bitWidth, type != .string else {
                throw EngineError(.model, "input '\(input.name)' is not a numeric tensor")
            }
            let shape = input.shape ?? [.unknown]
            let dims =
                overrides[input.name]
                ?? shape.enumerated().map { axis, extent in
                    extent.fixedValue.map { max($0, 1) } ?? guess.extent(axis: axis, rank: shape.count)
                }
            guard let count = dims.elementCount, count > 0, count < 1 << 28 else { throw EngineError(.model, "input '\(input.name)': shape \(dims) is too large to try") }
            let storage = TensorStorage(byteCount: (count * width + 7) / 8) { memory in
                guard !type.isFloatingPoint else { return }
                let stride = max(width / 8, 1)
                for index in Swift.stride(from: 0, to: memory.count, by: stride) { memory[index] = 1 }
            }
            do {
                tensors.append(try Tensor(name: input.name, elementType: type, dims: dims, storage: storage))
            } catch {
                throw EngineError(.model, error.message)
            }
        }
        return tensors
    }
}
