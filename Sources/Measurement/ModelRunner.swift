import EngineSupport
import Foundation
import ModelGraph
import OnnxRuntime

/// A model in a runtime session. Weights are handed over in place, never through the protobuf library.
public final class ModelRunner: Sendable {
    public let session: Session

    /// - Parameters:
    ///   - threads: intra-op threads of one call. Small networks: 1, with one caller per core.
    /// - Throws: `EngineError` if the runtime refuses the model.
    public init(_ model: Model, library: RuntimeLibrary, threads: Int = 1, options base: SessionOptions? = nil, label: String = "model") throws {
        var options = base ?? SessionOptions()
        options.intraOpThreads = threads
        options.interOpThreads = 1
        if TransposeFusionCrash.threatens(model) { TransposeFusionCrash.avoid(in: &options) }
        var model = model
        for table in model.graph.classTables where !model.graph.outputs.contains(where: { $0.name == table.name }) { model.graph.outputs.append(table) }
        do {
            let (proto, weights) = try model.serializedWithoutWeights()
            for tensor in weights { options.externalInitializers.append((tensor.name, try RuntimeValues.view(tensor))) }
            session = try proto.withUnsafeBytes { try Session(library: library, model: $0, options: options, label: label) }
        } catch let error as OnnxRuntimeError {
            throw EngineError(.runtime, "ONNX Runtime refuses the \(label): \(error)")
        }
    }

    /// Runs and returns the named outputs, cancelable at once.
    public func run(_ inputs: [(String, Value)], outputs: [String], cancellation: Cancellation) throws -> [Value] {
        try cancellation.check()
        do {
            let options = try RunOptions(library: session.library)
            return try cancellation.withHook({ options.terminate() }) {
                try session.run(inputs: inputs, outputs: outputs, options: options)
            }
        } catch let error as OnnxRuntimeError {
            if error.isTermination || cancellation.isCancelled { throw EngineError.cancelled }
            throw EngineError(.runtime, "\(error)")
        }
    }
}

extension Model {
    /// Makes large float32 weights of the main graph inputs of the model, which the runtime reads in place: it neither copies
    /// nor prepacks them. Slower to run than constants, so for few runs of models whose memory matters.
    /// - Returns: the weights, to be handed over with every call.
    package mutating func moveWeightsToInputs() -> [Tensor] {
        let listed = Set(graph.inputs.map(\.name))
        let weights = graph.initializers.values.filter { $0.elementType == .float32 && $0.storage.byteCount > 65_536 }
        for tensor in weights {
            graph.initializers[tensor.name] = nil
            if !listed.contains(tensor.name) {
                graph.inputs.append(ValueInfo(name: tensor.name, elementType: tensor.elementType, shape: tensor.dims.map { .fixed($0) }))
            }
        }
        return weights
    }
}

/// Reads the shapes of all intermediate values by running the model once.
public enum ShapeProbe {
    /// Shapes and types of every value of the main graph for the given inputs.
    ///
    /// Weights go in as graph inputs, so that the runtime neither copies nor prepacks them, and of values only the shapes come out: the probe's
    /// memory is about that of one inference. Where a type is not known, or a kernel insists on constant weights, values and weights are handed
    /// over whole.
    public static func shapes(of model: Model, inputs: [Tensor], library: RuntimeLibrary, cancellation: Cancellation) throws -> ValueShapes {
        var first: (any Error)?
        for (shapesOnly, weightsAsInputs) in [(true, true), (false, true), (false, false)] {
            do {
                return try probe(model, inputs: inputs, library: library, shapesOnly: shapesOnly, weightsAsInputs: weightsAsInputs, cancellation: cancellation)
            } catch let error as EngineError where error.kind == .cancelled {
                throw error
            } catch {
                // The last attempt is the plainest, and its words the clearest.
                first = error
            }
        }
        throw first ?? EngineError(.runtime, "the model does not run")
    }

    private static func probe(
        _ model: Model, inputs: [Tensor], library: RuntimeLibrary, shapesOnly: Bool, weightsAsInputs: Bool, cancellation: Cancellation
    ) throws -> ValueShapes {
        var exposed = model
        let types = shapesOnly ? ElementTypeInference(model.graph).types : [:]
        let names = exposeAll(&exposed, except: types)
        let measured = exposeShapes(&exposed, types)
        var feeds = try inputs.map { ($0.name, try RuntimeValues.view($0)) }
        if weightsAsInputs {
            // Of a large model the probe reads no weight at all: shapes hang on weights' extents, and zeros that were
            // never written take no memory.
            let total = model.graph.initializers.values.reduce(0) { $0 + $1.storage.byteCount }
            let zeros = total > 48 << 20 ? try ZeroMemory(byteCount: model.graph.initializers.values.map(\.storage.byteCount).max() ?? 0) : nil
            for tensor in exposed.moveWeightsToInputs() {
                if let zeros {
                    let bytes = UnsafeRawBufferPointer(rebasing: zeros.bytes[..<tensor.storage.byteCount])
                    feeds.append((tensor.name, try RuntimeValues.view(bytes, type: tensor.elementType, shape: tensor.dims, owner: zeros)))
                } else {
                    feeds.append((tensor.name, try RuntimeValues.view(tensor)))
                }
            }
        }
        var options = SessionOptions()
        options.graphOptimizationLevel = .disable
        options.memoryPattern = false
        options.memoryArena = false
        let runner = try ModelRunner(exposed, library: library, threads: 1, options: options, label: "model")
        let results = try runner.run(feeds, outputs: names + measured.map(\.output), cancellation: cancellation)
        var values: [String: ValueShapes.Value] = [:]
        for input in inputs { values[input.name] = .init(dims: input.dims, elementType: input.elementType) }
        for (name, value) in zip(names, results) {
            guard let type = value.elementType, let shape = value.shape else { continue }
            values[name] = .init(dims: shape, elementType: ElementType(rawValue: Int32(type.onnxDataType)))
        }
        for (entry, value) in zip(measured, results.dropFirst(names.count)) {
            values[entry.value] = .init(dims: try value.integers().map { Int($0) }, elementType: entry.type)
        }
        return ValueShapes(values)
    }

    /// Makes the shapes of values outputs of the graph: of those whose types are known, and of weights that the graph computes from other constants
    /// (dequantizes, casts, unpacks), which are as large as weights.
    private static func exposeShapes(_ model: inout Model, _ types: [String: ElementType]) -> [(value: String, output: String, type: ElementType)] {
        let constants = model.graph.constantNames()
        let produced = Set(model.graph.nodes.flatMap(\.outputs))
        var names = NameSupply(model.graph)
        var seen = Set(model.graph.outputs.map(\.name))
        var measured: [(value: String, output: String, type: ElementType)] = []
        for node in model.graph.nodes {
            let decoded = Compute.operands(of: node).filter { constants.contains($0) && produced.contains($0) }.map { ($0, ElementType.float32) }
            let known = node.outputs.filter { !constants.contains($0) }.compactMap { output in types[output].map { (output, $0) } }
            for (value, type) in decoded + known where !value.isEmpty && seen.insert(value).inserted {
                measured.append((value, names.fresh("\(value)_shape"), type))
            }
        }
        // ONNX Runtime runs the last of such leaves first: listed from the last to the first, each runs as soon as its value is there, which
        // is then let go of. In the other order the whole network runs before them, with every value kept.
        for entry in measured.reversed() {
            model.graph.nodes.append(Node("Shape", inputs: [entry.value], outputs: [entry.output]))
            model.graph.outputs.append(ValueInfo(name: entry.output, elementType: .int64, shape: [.unknown]))
        }
        return measured
    }

    /// Makes every node output an output of the graph whose type is not known; returns the names.
    private static func exposeAll(_ model: inout Model, except types: [String: ElementType]) -> [String] {
        var names = model.graph.outputs.map(\.name)
        // Values computed from constants alone are as large as weights and of no interest.
        let known = Set(names).union(model.graph.constantNames())
        for node in model.graph.nodes {
            for output in node.outputs where !output.isEmpty && !known.contains(output) && types[output] == nil {
                names.append(output)
                model.graph.outputs.append(model.graph.valueInfos[output] ?? ValueInfo(name: output, elementType: nil, shape: nil))
            }
        }
        return names
    }
}

/// Zeros without memory: pages of an anonymous mapping that are only read all share the system's one zero page.
///
/// Sendable without a lock: the mapping is read-only and lives exactly as long as the object.
private final class ZeroMemory: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(byteCount: Int) throws {
        guard let address = mmap(nil, max(byteCount, 1), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), address != MAP_FAILED
        else { throw EngineError(.runtime, "no address space for \(byteCount) bytes") }
        bytes = UnsafeRawBufferPointer(start: address, count: byteCount)
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), max(bytes.count, 1)) }
}
