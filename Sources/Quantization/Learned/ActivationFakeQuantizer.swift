import Datasets
import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Techniques
import Training

/// A value that layers read rounded to a grid of its own: s · round(clip(x/s, low, high)).
struct ActivationFakeQuantizer: Sendable {
    let input: String
    /// What the layers read.
    let output: String
    let scale: String
    let bits: Int
    let isSigned: Bool

    static func range(bits: Int, isSigned: Bool) -> (low: Int, high: Int) {
        isSigned ? (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) : (0, (1 << bits) - 1)
    }

    var range: (low: Int, high: Int) { Self.range(bits: bits, isSigned: isSigned) }

    /// Adds the nodes before a node, and the scale as an initializer.
    init(_ input: String, bits: Int, seen: ActivationSizes.Size, before position: Int, editor: inout GraphEditor) {
        self.input = input
        self.bits = bits
        isSigned = seen.minimum < 0
        let (low, high) = Self.range(bits: bits, isSigned: isSigned)
        scale = editor.add(
            Tensor(name: "", floats: [max(2 * seen.meanMagnitude / Float(high).squareRoot(), 1e-6)], dims: [1]), "\(input)_step", at: .main)
        output = editor.fresh("\(input)_dequantized")
        let (ratio, clipped, rounded) = (editor.scratch(), editor.scratch(), editor.scratch())
        func scalar(_ value: Int) -> String { editor.constant(Tensor(name: "", floats: [Float(value)], dims: []), at: .main) }
        let bounds = [scalar(low), scalar(high)]
        editor.add(.op("Div", [input, scale], ratio), before: position)
        editor.add(.op("Clip", [ratio] + bounds, clipped), before: position)
        editor.add(.op("Round", [clipped], rounded), before: position)
        editor.add(.op("Mul", [rounded, scale], output), before: position)
    }

    /// Puts QuantizeLinear and DequantizeLinear in place of these nodes; both give the same values bit for bit.
    ///
    /// Eight bits are stored whatever the width; a Clip before keeps to the codes there are. A Max with the range's lower end behind changes no
    /// value, but keeps ONNX Runtime from what it does to a Conv or Gemm that reads DequantizeLinear: it would round float weights once
    /// more, to int8 with one scale for all of them. (With a Clip there, OpenVINO computes something else, without a word.)
    func export(step: Float, editor: inout GraphEditor) throws {
        let nodes = editor.graph(.main).nodes
        guard let position = nodes.firstIndex(where: { $0.outputs.contains(output) }) else {
            throw EngineError(.technique, "the quantizer of '\(input)' is missing")
        }
        let unused = editor.scratch()
        editor.edit(position, at: .main) { $0.outputs = [unused] }
        let bounds = [range.low, range.high].map { editor.constant(Tensor(name: "", floats: [Float($0) * step], dims: []), at: .main) }
        var source = input
        if bits < 8 {
            source = editor.scratch()
            editor.add(.op("Clip", [input] + bounds, source), before: position)
        }
        // Of MatMul and Add the runtime makes a Gemm.
        let sums = Set(nodes.lazy.filter { $0.opType == "Add" }.flatMap(\.inputs))
        let isGuarded = nodes.contains { $0.inputs.contains(output) && ($0.opType != "MatMul" || $0.outputs.contains { sums.contains($0) }) }
        let scale = editor.constant(Tensor(name: "", floats: [step], dims: []), at: .main)
        let zero = editor.constant(isSigned ? Tensor(name: "", int8s: [0], dims: []) : Tensor(name: "", uint8s: [0], dims: []), at: .main)
        let codes = editor.fresh("\(input)_quantized")
        let value = isGuarded ? editor.scratch() : output
        editor.add(.op("QuantizeLinear", [source, scale, zero], codes), before: position)
        editor.add(.op("DequantizeLinear", [codes, scale, zero], value), before: position)
        if isGuarded { editor.add(.op("Max", [value, bounds[0]], output), before: position) }
    }
}

/// How large values of a model are on training samples, for the first step sizes of their quantizers.
enum ActivationSizes {
    struct Size: Sendable {
        var minimum: Float
        var meanMagnitude: Float
        /// Numbers of one sample.
        var features: Int
    }

    /// Sizes of the float values among `names`, over up to 256 samples spread over all.
    /// - Throws: `EngineError` if the runtime refuses the model.
    static func measured(_ names: [String], of model: Model, source: TrainingSource, context: RewriteContext) throws -> [String: Size] {
        guard !names.isEmpty else { return [:] }
        let key = "activation sizes \(model.contentHash) \(source.samples.contentHash) \(names)"
        let made = try context.memo.tensors(key) {
            let sizes = try measure(names, of: model, source: source, cancellation: context.cancellation)
            return [Tensor(name: "", floats: sizes.flatMap { $0.map { [1, $0.minimum, $0.meanMagnitude, Float($0.features)] } ?? [0, 0, 0, 0] }, dims: [names.count, 4])]
        }
        let numbers = made.first?.floats() ?? []
        guard numbers.count == 4 * names.count else { return [:] }
        var result: [String: Size] = [:]
        for (index, name) in names.enumerated() where numbers[4 * index] == 1 {
            result[name] = Size(minimum: numbers[4 * index + 1], meanMagnitude: numbers[4 * index + 2], features: Int(numbers[4 * index + 3]))
        }
        return result
    }

    private static func measure(_ names: [String], of model: Model, source: TrainingSource, cancellation: Cancellation) throws -> [Size?] {
        let samples = source.samples
        let rows = samples.inputs.contains(where: \.isWhole) ? 1 : samples.fixedBatch(of: model) ?? min(32, samples.count)
        guard rows > 0, samples.count >= rows else { throw EngineError(.data, "there are too few samples to train on") }
        let inputs = Set(model.graph.inputs.map(\.name))
        var exposed = model
        let known = Set(model.graph.outputs.map(\.name))
        for name in names where !known.contains(name) && !inputs.contains(name) {
            exposed.graph.outputs.append(ValueInfo(name: name, elementType: nil, shape: nil))
        }
        let wanted = names.filter { !inputs.contains($0) }
        let runner = try ModelRunner(exposed, library: source.library, threads: 2)
        var (minima, sums, counts) = (names.map { _ in Float.infinity }, names.map { _ in 0.0 }, names.map { _ in 0 })
        let turns = max(1, min(256 / rows, samples.count / rows))
        for turn in 0..<turns {
            try cancellation.check()
            let first = turn * ((samples.count - rows) / max(turns - 1, 1))
            let feeds = try samples.values(first..<first + rows).filter { inputs.contains($0.0) }
            let outputs = wanted.isEmpty ? [] : try runner.run(feeds, outputs: wanted, cancellation: cancellation)
            let values = Dictionary(feeds + zip(wanted, outputs)) { first, _ in first }
            for (index, name) in names.enumerated() {
                guard let value = values[name], value.elementType == .float else { continue }
                let floats = try value.floats()
                minima[index] = floats.reduce(minima[index]) { min($0, $1) }
                sums[index] += floats.reduce(0.0) { $0 + Double(abs($1)) }
                counts[index] += floats.count
            }
        }
        return names.indices.map { index in
            counts[index] == 0 || !sums[index].isFinite
                ? nil : Size(minimum: minima[index], meanMagnitude: Float(sums[index] / Double(counts[index])), features: max(counts[index] / (turns * rows), 1))
        }
    }
}
