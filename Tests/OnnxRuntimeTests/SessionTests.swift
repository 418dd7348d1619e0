import Foundation
import Testing

@testable import OnnxRuntime

@Suite struct SessionTests {
    @Test func aPerceptronEqualsPythonToTheBit() throws {
        let session = try session("mlp.onnx")
        let x = try Value(Oracle.floats("mlp.x"), shape: [7, 64], library: testLibrary())
        let y = try session.run(inputs: [("x", x)])
        #expect(y.count == 1)
        #expect(y[0].shape == [7, 10] && y[0].elementType == .float && y[0].kind == .tensor)
        #expect(bits(try y[0].floats()) == bits(try Oracle.floats("mlp.y")))
    }

    @Test func aFileEqualsTheSameModelInMemory() throws {
        let library = try testLibrary()
        let x = try Value(Oracle.floats("mlp.x"), shape: [7, 64], library: library)
        let fromFile = try Session(library: library, path: Oracle.path("mlp.onnx"))
        #expect(bits(try fromFile.run(inputs: [("x", x)])[0].floats()) == bits(try Oracle.floats("mlp.y")))
    }

    @Test func describesInputsAndOutputs() throws {
        let session = try session("mlp.onnx")
        #expect(
            session.inputs == [
                ValueDescription(
                    name: "x", kind: .tensor, elementType: .float, dimensions: [.symbolic("batch"), .fixed(64)])
            ])
        #expect(session.outputs.map(\.name) == ["y"])
        #expect(session.outputs[0].dimensions?.map(\.size) == [-1, 10])
        #expect(session.overridableInitializers.isEmpty)
        let other = try OnnxRuntimeTests.session("overridable.onnx")
        #expect(other.inputNames == ["x"])
        #expect(other.overridableInitializers.map(\.name) == ["w"])
    }

    @Test func aScalarIsNotAnUnknownRank() throws {
        let session = try session("scalar.onnx")
        #expect(session.inputs[0].dimensions == (session.library.version >= RuntimeVersion(1, 24) ? [] : nil))
        let five = try Value([5] as [Float], shape: [], library: testLibrary())
        let y = try session.run(inputs: [("x", five)])[0]
        #expect(y.shape == [] && y.elementCount == 1)
        #expect(try y.floats() == [5])
    }

    @Test func overridableInitializersMayBeGivenOrLeftOut() throws {
        let session = try session("overridable.onnx")
        let x = try Value([1, 2] as [Float], shape: [2], library: testLibrary())
        let w = try Value([10] as [Float], shape: [1], library: testLibrary())
        #expect(try session.run(inputs: [("x", x)])[0].floats() == [3, 6])
        #expect(try session.run(inputs: [("w", w), ("x", x)])[0].floats() == [10, 20])
    }

    @Test func aModelWithoutInputsRuns() throws {
        #expect(try session("constant.onnx").run(inputs: [])[0].floats() == [1, 2, 3])
    }

    @Test func threadsThatRunAtOnceAgree() async throws {
        let session = try session("convolution.onnx")
        let x = try Value(Oracle.floats("convolution.x"), shape: [3, 3, 12, 12], library: testLibrary())
        let expected = bits(try Oracle.floats("convolution.y99"))
        let signature = try session.signature()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try (0..<50).count(where: { _ in bits(try session.run(signature, [x])[0].floats()) == expected })
                }
            }
            for try await agreed in group { #expect(agreed == 50) }
        }
    }

    // MARK: Inputs that do not fit

    @Test func wrongShapesNameTheInputAndBothShapes() throws {
        let session = try session("mlp.onnx")
        for shape in [[7, 63], [64], [1, 1, 64], []] {
            let x = try Value([Float](repeating: 0, count: shape.reduce(1, *)), shape: shape, library: testLibrary())
            let error = failure { try session.run(inputs: [("x", x)]) }
            guard case .invalidInput(let name, let reason, let doing) = error else {
                Issue.record("\(shape): \(String(describing: error))")
                continue
            }
            #expect(name == "x" && doing.contains("mlp.onnx"))
            #expect(reason == "must have shape [batch, 64], not \(shape)")
        }
    }

    @Test func wrongTypesUnknownDoubleAndMissingInputsNameTheInput() throws {
        let session = try session("sum.onnx")
        let a = try Value([1, 2] as [Float], shape: [2], library: testLibrary())
        let doubles = try Value([1, 2] as [Double], shape: [2], library: testLibrary())
        func nameIn(_ error: OnnxRuntimeError?) -> String? {
            if case .invalidInput(let name, _, _)? = error { name } else { nil }
        }
        #expect(nameIn(failure { try session.run(inputs: [("a", a), ("b", doubles)]) }) == "b")
        #expect(nameIn(failure { try session.run(inputs: [("a", a), ("c", a)]) }) == "c")
        #expect(nameIn(failure { try session.run(inputs: [("a", a), ("a", a)]) }) == "a")
        #expect(nameIn(failure { try session.run(inputs: [("a", a)]) }) == "b")
        #expect(nameIn(failure { try session.run(session.signature(), [a]) }) == "a")
        if case .invalidOutput(let name, _, _)? = failure({ try session.run(inputs: [("a", a), ("b", a)], outputs: ["z"]) }) {
            #expect(name == "z")
        } else {
            Issue.record("an unknown output was accepted")
        }
    }

    @Test func shapesThatOnlyTheRuntimeCanJudgeAreItsErrors() throws {
        let session = try session("sum.onnx")
        let two = try Value([1, 2] as [Float], shape: [2], library: testLibrary())
        let three = try Value([1, 2, 3] as [Float], shape: [3], library: testLibrary())
        let error = failure { try session.run(inputs: [("a", two), ("b", three)]) }
        guard case .failed(_, let message, let doing) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(!message.isEmpty && doing == "running sum.onnx")
    }

    // MARK: Outputs that exist already

    @Test func runsIntoGivenMemory() throws {
        let library = try testLibrary()
        let session = try session("mlp.onnx")
        let x = try Value(Oracle.floats("mlp.x"), shape: [7, 64], library: library)
        let y = try Value(zeros: .float, shape: [7, 10], library: library)
        try session.run(session.signature(), [x], into: [y])
        #expect(bits(try y.floats()) == bits(try Oracle.floats("mlp.y")))
    }

    @Test func refusesMemoryThatDoesNotFit() throws {
        let library = try testLibrary()
        let session = try session("mlp.onnx")
        let signature = try session.signature()
        let x = try Value(Oracle.floats("mlp.x"), shape: [7, 64], library: library)
        let readOnly = Owner([UInt8](repeating: 0, count: 280))
        let unfit = [
            try Value(zeros: .float, shape: [7, 9], library: library),
            try Value(zeros: .double, shape: [7, 10], library: library),
            try Value(
                borrowing: UnsafeRawBufferPointer(readOnly.memory), elementType: .float, shape: [7, 10],
                owner: readOnly, library: library),
        ]
        for value in unfit {
            guard case .invalidOutput(let name, _, _)? = failure({ try session.run(signature, [x], into: [value]) })
            else {
                Issue.record("\(value.typeDescription) \(value.shape ?? []) was accepted")
                continue
            }
            #expect(name == "y")
        }
        // Six rows for a batch of seven: the description allows it, the runtime does not.
        let short = try Value(zeros: .float, shape: [6, 10], library: library)
        let error = failure { try session.run(signature, [x], into: [short]) }
        #expect(error != nil)
    }

    // MARK: Denormals

    @Test func denormalsAreFlushedOnlyWhereAskedAndOnlyDuringTheRun() throws {
        let library = try testLibrary()
        // 1e-20 squared is 1e-40: a denormal.
        let x = try Value([1e-20, 1, 1e-21, 2] as [Float], shape: [4], library: library)
        let before = Denormals.areFlushed
        let kept = try session("tiny.onnx").run(inputs: [("x", x)])[0].floats()
        #expect(kept[0] == Float(1e-20) * Float(1e-20) && kept[0] > 0)
        var options = SessionOptions()
        options.flushesDenormals = true
        let flushing = try session("tiny.onnx", options: options)
        #expect(Denormals.areFlushed == before)
        let flushed = try flushing.run(inputs: [("x", x)])[0].floats()
        #expect(flushed == (Denormals.isSupported ? [0, 1, 0, 4] : kept))
        #expect(Denormals.areFlushed == before)
    }
}
