import Foundation
import ModelGraph
import OnnxRuntime
import PythonOracle
import Testing

/// What tests of techniques share: sample models, random numbers, runs in ONNX Runtime.
package enum Fixture {
    package static func sample(_ name: String) throws -> Model { try Model.read(path: Samples.path(name)) }

    /// Normally distributed numbers, the same for the same seed.
    package static func normal(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
        func uniform() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Double((state ^ (state >> 29)) >> 11) + 0.5) / Double(1 << 53)
        }
        return (0..<count).map { _ in Float((-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform())) * scale }
    }

    package static func normal(_ name: String, _ dims: [Int], seed: UInt64, scale: Float = 1) -> Tensor {
        Tensor(name: name, floats: normal(dims.reduce(1, *), seed: seed, scale: scale), dims: dims)
    }

    /// Inputs for a model whose dimensions without extent get `batch`.
    package static func inputs(for model: Model, batch: Int = 3, seed: UInt64 = 7) -> [Tensor] {
        model.graph.requiredInputs.enumerated().map { number, info in
            normal(info.name, (info.shape ?? []).map { $0.fixedValue ?? batch }, seed: seed + UInt64(number))
        }
    }

    package struct Output {
        package var name: String
        package var shape: [Int]
        package var values: [Float]

        package init(name: String, shape: [Int], values: [Float]) {
            self.name = name
            self.shape = shape
            self.values = values
        }
    }

    /// Runs a model in ONNX Runtime, through the very bytes that would be written.
    package static func run(_ model: Model, _ inputs: [Tensor]) throws -> [Output] {
        let bytes = try model.serialized().joined()
        let library = try RuntimeLibrary.load()
        let session = try bytes.withUnsafeBytes { try Session(library: library, model: $0, options: SessionOptions(), label: "test") }
        let feeds = try inputs.map { tensor -> (String, Value) in
            let type = try #require(Value.ElementType(rawValue: tensor.elementType.rawValue))
            return (tensor.name, try Value(borrowing: tensor.storage.bytes, elementType: type, shape: tensor.dims, owner: tensor.storage))
        }
        let names = model.graph.outputs.map(\.name)
        return try zip(names, session.run(inputs: feeds, outputs: names)).map { name, value in
            Output(name: name, shape: value.shape ?? [], values: try value.floats())
        }
    }

    /// Shapes of all intermediate values.
    package static func shapes(of model: Model, _ inputs: [Tensor]) throws -> [String: [Int]] {
        var exposed = model
        let listed = Set(model.graph.outputs.map(\.name))
        for node in model.graph.nodes {
            for output in node.outputs where !output.isEmpty && !listed.contains(output) {
                exposed.graph.outputs.append(ValueInfo(name: output, elementType: nil, shape: nil))
            }
        }
        var shapes = Dictionary(try run(exposed, inputs).map { ($0.name, $0.shape) }, uniquingKeysWith: { $1 })
        for input in inputs { shapes[input.name] = input.dims }
        return shapes
    }

    /// Largest difference of two runs, relative to the largest value (but values under 0.01 count as they are: the tail of a
    /// sigmoid has no relative precision).
    package static func difference(_ a: [Output], _ b: [Output]) throws -> Float {
        try #require(a.map(\.shape) == b.map(\.shape))
        var largest: Float = 0
        for (x, y) in zip(a, b) {
            let scale = max(x.values.map(abs).max() ?? 0, 1e-2)
            for (p, q) in zip(x.values, y.values) { largest = max(largest, abs(p - q) / scale) }
            try #require(x.values.allSatisfy(\.isFinite) && y.values.allSatisfy(\.isFinite))
        }
        return largest
    }
}
