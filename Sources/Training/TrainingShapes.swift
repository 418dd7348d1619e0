import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime

/// What differentiation must know of a graph's values, read by running it once.
package struct TrainingShapes {
    package var shapes: [String: [Int]]
    /// Small integer values that hang on shapes alone.
    var integers: [String: [Int]]

    package static func probe(_ model: Model, inputs: [Tensor], library: RuntimeLibrary, cancellation: Cancellation) throws -> TrainingShapes {
        var exposed = model
        // Values that data flow into, other than by their shape, differ from run to run.
        var varying = Set(model.graph.requiredInputs.map(\.name))
        for node in model.graph.nodes where !["Shape", "Size"].contains(node.opType) {
            let read = node.inputs + node.subgraphs.flatMap { $0.graph.capturedNames() }
            if read.contains(where: { varying.contains($0) }) { varying.formUnion(node.outputs) }
        }
        let known = Set(model.graph.outputs.map(\.name))
        var names: [String] = model.graph.outputs.map(\.name)
        for node in model.graph.nodes {
            for output in node.outputs where !output.isEmpty && !known.contains(output) {
                names.append(output)
                exposed.graph.outputs.append(ValueInfo(name: output, elementType: nil, shape: nil))
            }
        }
        var options = SessionOptions()
        options.graphOptimizationLevel = .disable
        let runner = try ModelRunner(exposed, library: library, threads: 1, options: options, label: "model")
        let feeds = try inputs.map { ($0.name, try RuntimeValues.view($0)) }
        let values = try runner.run(feeds, outputs: names, cancellation: cancellation)
        var result = TrainingShapes(shapes: Dictionary(uniqueKeysWithValues: inputs.map { ($0.name, $0.dims) }), integers: [:])
        for (name, value) in zip(names, values) {
            guard let shape = value.shape else { continue }
            result.shapes[name] = shape
            if !varying.contains(name), value.elementType == .int64 || value.elementType == .int32, value.elementCount <= 256 {
                result.integers[name] = try value.integers().map { Int($0) }
            }
        }
        return result
    }
}
