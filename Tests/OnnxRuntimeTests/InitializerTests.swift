import Foundation
import Testing

@testable import OnnxRuntime

/// Weights handed over in memory instead of in the model.
@Suite struct InitializerTests {
    static let shapes = ["K": [16, 3, 3, 3], "scale": [16], "bias": [16], "mean": [16], "variance": [16], "W": [16, 5]]

    /// The fact that rules out `AddInitializer`: folding must see the true weights, at every level.
    @Test(arguments: SessionOptions.OptimizationLevel.allCases)
    func externalWeightsEqualWeightsInTheModel(level: SessionOptions.OptimizationLevel) throws {
        let library = try testLibrary()
        let x = try Value(Oracle.floats("convolution.x"), shape: [3, 3, 12, 12], library: library)
        var options = SessionOptions()
        options.graphOptimizationLevel = level
        let inside = try session("convolution.onnx", options: options).run(inputs: [("x", x)])[0].floats()
        #expect(bits(inside) == bits(try Oracle.floats("convolution.y\(level.rawValue)")))
        options.externalInitializers = try weights(library).map { ($0.name, $0.value) }
        let outside = try session("outside.onnx", options: options).run(inputs: [("x", x)])[0].floats()
        #expect(bits(outside) == bits(inside))
    }

    @Test func memoryIsSharedKeptAliveAndLetGo() throws {
        let library = try testLibrary()
        let x = try Value(Oracle.floats("convolution.x"), shape: [3, 3, 12, 12], library: library)
        weak var watched: Owner?
        do {
            let session: Session
            do {
                let kernel = Owner(try Oracle.bytes("convolution.K"))
                watched = kernel
                var options = SessionOptions()
                options.externalInitializers = try weights(library).filter { $0.name != "K" }
                let value = try Value(
                    borrowing: UnsafeRawBufferPointer(kernel.memory), elementType: .float, shape: [16, 3, 3, 3],
                    owner: kernel, library: library)
                #expect(try value.sharesMemory(with: UnsafeRawBufferPointer(kernel.memory)))
                options.externalInitializers.append(("K", value))
                session = try OnnxRuntimeTests.session("outside.onnx", options: options)
            }
            #expect(watched != nil)
            #expect(
                bits(try session.run(inputs: [("x", x)])[0].floats()) == bits(try Oracle.floats("convolution.y99")))
        }
        #expect(watched == nil)
    }

    @Test func aSessionsWeightsCannotBeWritten() throws {
        let library = try testLibrary()
        let weights = try weights(library)
        var options = SessionOptions()
        options.externalInitializers = weights
        do {
            let session = try session("outside.onnx", options: options)
            for (_, value) in weights {
                #expect(failure { try value.withUnsafeMutableBytes { _ in } } == Value.writeConflict)
            }
            withExtendedLifetime(session) {}
        }
        for (_, value) in weights { try value.withUnsafeMutableBytes { #expect(!$0.isEmpty) } }
    }

    @Test func missingWrongAndUnknownWeightsAreErrors() throws {
        let library = try testLibrary()
        let all = try weights(library)
        func load(_ weights: [(name: String, value: Value)]) throws -> Session {
            var options = SessionOptions()
            options.externalInitializers = weights
            return try session("outside.onnx", options: options)
        }
        #expect(failure { try load([]) } != nil)
        #expect(failure { try load(all.filter { $0.name != "W" }) } != nil)
        let narrow = try Value(zeros: .float, shape: [16, 4], library: library)
        #expect(failure { try load(all.filter { $0.name != "W" } + [("W", narrow)]) } != nil)
        #expect(failure { try load(all + [("V", narrow)]) } != nil)
        let text = try Value(strings: ["a"], shape: [1], library: library)
        guard case .invalidInput("W", _, _)? = failure({ try load([("W", text)]) }) else {
            Issue.record("a tensor of strings was taken for a weight")
            return
        }
    }

    private func weights(_ library: RuntimeLibrary) throws -> [(name: String, value: Value)] {
        try Self.shapes.map { name, shape in
            (name, try Value(Oracle.floats("convolution.\(name)"), shape: shape, library: library))
        }
    }
}
