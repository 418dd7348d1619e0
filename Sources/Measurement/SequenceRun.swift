import Datasets
import EngineSupport
import ModelGraph
import OnnxRuntime

/// Runs a recurrent model step by step over sequences, several at once where the model allows it: what it gives as its state is what it
/// takes in the next step.
///
/// Samples have one dimension more than the model's input: [batch, steps, …] for [batch, …]. States begin with zeros.
struct SequenceRun: Sendable {
    /// The state's input by its output.
    private let carry: [(output: String, input: ValueInfo)]
    /// Outputs that are wanted, each with the dimension that is the batch where the model says so.
    private let outputs: [(name: String, axis: Int?)]
    /// The name of the batch in the model's inputs.
    private let batchSymbol: String?

    /// - Throws: `EngineError` where the declaration names what the model has not.
    init(_ declared: [String: String], model: Model, samples: SampleSet, outputs: [String]) throws(EngineError) {
        var carry: [(String, ValueInfo)] = []
        for (output, input) in declared.sorted(by: { $0.key < $1.key }) {
            guard model.graph.outputs.contains(where: { $0.name == output }) else {
                throw EngineError(.data, "carry: the model has no output '\(output)', it has \(model.graph.outputs.map { "'\($0.name)'" }.joined(separator: ", "))")
            }
            guard let info = model.graph.requiredInputs.first(where: { $0.name == input }) else {
                throw EngineError(.data, "carry: the model has no input '\(input)', it has \(model.graph.requiredInputs.map { "'\($0.name)'" }.joined(separator: ", "))")
            }
            carry.append((output, info))
        }
        self.carry = carry
        self.outputs = outputs.map { name in (name, model.graph.outputs.first { $0.name == name }.flatMap { BatchedOutput.declaredAxis(of: $0, in: model) }) }
        let data = Set(samples.inputs.map(\.name))
        let first = model.graph.requiredInputs.first { data.contains($0.name) }?.shape?.first
        batchSymbol = first.flatMap { if case .symbolic(let name) = $0 { name } else { nil } }
    }

    /// Zeros for a state over `rows` sequences. Open extents are the batch, but for those that count what came before.
    private func zeros(_ input: ValueInfo, rows: Int) throws -> Value {
        guard let type = input.elementType, let width = type.bitWidth, type != .string else { throw EngineError(.model, "input '\(input.name)' is not a numeric tensor") }
        let dims = (input.shape ?? []).map { dimension -> Int in
            switch dimension {
            case .fixed(let extent): return extent
            case .unknown: return rows
            case .symbolic(let name):
                if let batchSymbol, name == batchSymbol { return rows }
                return ["past", "cache", "len", "seq"].contains { name.lowercased().contains($0) } ? 0 : rows
            }
        }
        guard let count = dims.elementCount, count < 1 << 28 else { throw EngineError(.model, "input '\(input.name)': shape \(dims) is too large for a state") }
        let tensor = try Tensor(name: input.name, elementType: type, dims: dims, storage: TensorStorage(byteCount: (count * width + 7) / 8) { _ in })
        return try RuntimeValues.view(tensor)
    }

    /// What one step's call is given, over the sequences `range`.
    ///
    /// Calls `body` for each step with all inputs; it returns the states of the next.
    func forEachStep(
        _ samples: SampleSet, _ range: Range<Int>, _ runner: ModelRunner, extra: [String] = [], cancellation: Cancellation,
        body: (_ step: Int, _ inputs: [(String, Value)], _ outputs: [Value]) throws -> Void
    ) throws {
        let names = outputs.map(\.name).filter { name in !carry.contains { $0.output == name } } + carry.map(\.output)
        var states = try carry.map { ($0.input.name, try zeros($0.input, rows: range.count)) }
        for step in 0..<samples.steps {
            let inputs = try samples.step(step, of: range)
            let values = try runner.run(inputs + states, outputs: names + extra, cancellation: cancellation)
            try body(step, inputs + states, values)
            for (place, entry) in carry.enumerated() {
                if let at = names.firstIndex(of: entry.output) { states[place].1 = values[at] }
            }
        }
    }

    /// The wanted outputs over all steps, which become each sample's first dimension.
    func run(_ samples: SampleSet, _ range: Range<Int>, _ runner: ModelRunner, cancellation: Cancellation) throws -> [BatchedOutput] {
        var steps = [[BatchedOutput]](repeating: [], count: outputs.count)
        let names = outputs.map(\.name).filter { name in !carry.contains { $0.output == name } } + carry.map(\.output)
        try forEachStep(samples, range, runner, cancellation: cancellation) { _, _, values in
            for (place, output) in outputs.enumerated() {
                guard let at = names.firstIndex(of: output.name) else { continue }
                steps[place].append(
                    try BatchedOutput(name: output.name, values: values[at].floats(), shape: values[at].shape ?? [], rows: range.count, axis: output.axis))
            }
        }
        return try zip(outputs, steps).map { output, steps in
            guard let joined = BatchedOutput.joined(steps) else { throw EngineError(.data, "output '\(output.name)' has another shape in each step") }
            return joined
        }
    }
}
