import Datasets
import EngineSupport
import Metrics
import ModelGraph
import OnnxRuntime

extension SampleSet {
    /// The steps of sequences as samples of their own, each with the state that `model` has come to: what calibration and training see.
    /// - Parameters:
    ///   - limit: steps at most; sequences are taken in order until there are so many.
    package func unrolled(_ runner: ModelRunner, model: Model, limit: Int, cancellation: Cancellation = Cancellation()) throws -> SampleSet {
        let outputs = try TaskScoring.outputs(self, model)
        let sequences = try SequenceRun(carry, model: model, samples: self, outputs: outputs)
        let total = max(0, min(limit, count * steps))
        guard total > 0 else { throw EngineError(.data, "sequences without steps") }
        let place = "\(prepared.split.rawValue) sequences"
        var inputs: [SampleInput] = []
        var memories: [SampleMemory] = []
        var labels: [Int]? = []
        var row = 0
        for sequence in 0..<count where row < total {
            let target = prepared.targets == nil ? nil : try prepared.target(sequence)
            try sequences.forEachStep(self, sequence..<(sequence + 1), runner, cancellation: cancellation) { step, values, _ in
                guard row < total else { return }
                if inputs.isEmpty {
                    for (name, value) in values {
                        guard let type = value.elementType.flatMap({ SampleType(rawValue: Int32($0.onnxDataType)) }), let shape = value.shape else {
                            throw EngineError(.data, "input '\(name)' is not a tensor of numbers")
                        }
                        let known = self.inputs.first { $0.name == name }
                        // A state has its batch anywhere, so it is kept whole.
                        let isRow = known.map { !$0.isWhole } ?? false
                        let input = SampleInput(name: name, type: type, shape: isRow ? Array(shape.dropFirst()) : shape, isWhole: !isRow, isShared: known?.isShared ?? false)
                        inputs.append(input)
                        memories.append(try SampleMemory(byteCount: input.bytesPerSample * total, what: place))
                    }
                }
                for (index, value) in values.enumerated() {
                    let width = inputs[index].bytesPerSample
                    try value.1.withUnsafeBytes { bytes in
                        guard bytes.count == width else { throw EngineError(.data, "the state '\(value.0)' changes its size, so steps cannot be kept for calibration") }
                        UnsafeMutableRawBufferPointer(rebasing: memories[index].mutableBytes[row * width..<(row + 1) * width]).copyMemory(from: bytes)
                    }
                }
                if case .classes(let classes, _) = target, classes.count == steps, classes[step] >= 0 { labels?.append(Int(classes[step])) } else { labels = nil }
                row += 1
            }
        }
        let split = DatasetSplit(name: prepared.split, inputs: inputs, memories: memories, count: row, labels: labels, place: place)
        // Outputs of single steps have no metric of sequences; of frames each is right or wrong.
        return try SampleSet(split, metric: labels == nil ? .cosine : .top1)
    }
}
