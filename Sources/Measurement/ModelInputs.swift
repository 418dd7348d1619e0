import Datasets
import EngineSupport
import Foundation
import Metrics
import ModelGraph
import OnnxRuntime

/// Samples with their labels, in a fixed shuffled order, so that the first k are a random sample of all.
public struct SampleSet: Sendable {
    package let prepared: PreparedSamples
    /// Class of each sample; `nil` where the metric compares with the baseline instead.
    public let labels: [Int]?
    public private(set) var metric: MetricKind
    /// How outputs and labels are read.
    public let options: MetricOptions
    /// Where samples are sequences that the model takes step by step: its state's inputs by the outputs that they come from.
    package let carry: [String: String]
    /// Hash of samples, labels and preprocessing, for content addresses.
    public let contentHash: String
    /// For splits that are run many samples at a time without asking each time whether that goes: calibration, training.
    package var batchProbe: BatchProbe?

    /// - Throws: `EngineError` if a file is damaged or memory is short.
    public init(_ split: DatasetSplit, metric: MetricKind, options: MetricOptions = MetricOptions(), carry: [String: String] = [:]) throws {
        prepared = try split.prepared()
        labels = metric.needsLabels ? prepared.labels : nil
        self.metric = metric.needsLabels && prepared.targets == nil ? .agreement : metric
        self.options = options
        self.carry = carry
        contentHash = try split.contentHash
    }

    /// Whether the output of a token predicts the next one: as declared, else where labels are the model's own input, of which nothing else could be asked.
    package func predictsNext() throws -> Bool {
        if let declared = options.isShifted { return declared }
        guard prepared.targets?.kind == .classes, count > 0 else { return false }
        for (index, input) in inputs.enumerated() where input.type == .int64 || input.type == .int32 {
            let isSame = try (0..<min(16, count)).allSatisfy { sample in
                guard case .classes(let classes, _) = try prepared.target(sample), classes.count == input.elementCount, classes.contains(where: { $0 >= 0 }) else { return false }
                let bytes = try prepared.samples(sample..<(sample + 1), input: index)
                let values = input.type == .int64 ? bytes.bindMemory(to: Int64.self).map { $0 } : bytes.bindMemory(to: Int32.self).map { Int64($0) }
                return zip(classes, values).allSatisfy { $0 < 0 || Int64($0) == $1 }
            }
            if isSame { return true }
        }
        return false
    }

    /// Whether a sample is several calls: the steps of a sequence, or the two of a pair.
    package var isSequence: Bool { !carry.isEmpty || metric == .similarity }

    /// Takes outputs as they come, whatever the labels are.
    mutating func probe() { metric = .cosine }

    /// Whether outputs are compared with the original model's, for want of labels.
    package var isCompared: Bool { !metric.needsLabels }

    /// Names samples and metric, for results that hang on both. The metric one gets without asking is not named: results stored before it was stay found.
    package var evaluationHash: String {
        let read = options == MetricOptions() && carry.isEmpty ? "" : " read \(options.canonicalText) \(carry.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })"
        // A program that was changed scores otherwise.
        let program = (options.command ?? []).compactMap { word -> String? in
            var status = stat()
            guard stat(word, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            return " \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
        }
        return (metric == .top1 || metric == .agreement && prepared.targets == nil ? contentHash : "\(contentHash) by \(metric.rawValue)") + read + program.joined()
    }

    public var count: Int { prepared.count }
    public var inputs: [SampleInput] { prepared.inputs }
    /// Bytes of one sample over all inputs.
    var sampleBytes: Int { inputs.reduce(0) { $0 + $1.bytesPerSample } }

    /// Values over samples `range`, viewing the set's memory without copying.
    /// - Throws: `EngineError` where samples are sequences: those are run step by step.
    public func values(_ range: Range<Int>) throws -> [(String, Value)] {
        guard !isSequence else { throw EngineError(.data, "samples are sequences that the model takes step by step") }
        return try inputs.enumerated().map { index, input in
            (
                input.name,
                try RuntimeValues.view(
                    try prepared.samples(input.isShared ? 0..<1 : range, input: index), type: ElementType(rawValue: input.type.rawValue),
                    shape: input.valueShape(rows: range.count), owner: prepared)
            )
        }
    }

    /// The batch extent the model fixes for its first data input, if it does; 1 if an input has no batch extent, or the model takes no two samples together.
    package func fixedBatch(of model: Model) -> Int? {
        guard let first = inputs.first else { return nil }
        if inputs.contains(where: { $0.isWhole && !$0.isShared }) { return 1 }
        if let fixed = model.graph.inputs.first(where: { $0.name == first.name })?.shape?.first?.fixedValue { return max(fixed, 1) }
        return batchProbe?.takesOne(self) == true ? 1 : nil
    }
}

extension SampleSet {
    /// Steps of each sequence.
    var steps: Int { inputs.first { !$0.isShared }?.shape.first ?? 0 }

    /// The inputs of one step over the sequences `range`, without the state.
    func step(_ step: Int, of range: Range<Int>) throws -> [(String, Value)] {
        try inputs.enumerated().map { index, input in
            let type = ElementType(rawValue: input.type.rawValue)
            if input.isShared {
                return (input.name, try RuntimeValues.view(try prepared.samples(0..<1, input: index), type: type, shape: input.valueShape(rows: 1), owner: prepared))
            }
            let shape = Array(input.shape.dropFirst())
            let (whole, part) = (input.bytesPerSample, input.bytesPerSample / max(input.shape.first ?? 1, 1))
            let source = try prepared.samples(range, input: index)
            let storage = TensorStorage(byteCount: part * range.count) { memory in
                for row in 0..<range.count where part > 0 {
                    UnsafeMutableRawBufferPointer(rebasing: memory[row * part..<(row + 1) * part]).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[row * whole + step * part..<row * whole + (step + 1) * part]))
                }
            }
            return (input.name, try RuntimeValues.view(try Tensor(name: input.name, elementType: type, dims: [range.count] + shape, storage: storage)))
        }
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
