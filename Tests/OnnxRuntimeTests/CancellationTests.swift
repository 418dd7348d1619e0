import Foundation
import Testing

@testable import OnnxRuntime

@Suite struct CancellationTests {
    /// The model loops 2^62 times: without termination this test would not end in a lifetime.
    @Test(.timeLimit(.minutes(1)))
    func terminateStopsARunFromAnotherThread() throws {
        let library = try testLibrary()
        let session = try session("forever.onnx")
        let x = try Value([Float](repeating: 1, count: 64), shape: [64], library: library)
        let options = try RunOptions(library: library)
        let stopper = Thread {
            Thread.sleep(forTimeInterval: 0.2)
            options.terminate()
        }
        stopper.start()
        let error = failure { try session.run(inputs: [("x", x)], options: options) }
        #expect(error == .terminated(doing: "running forever.onnx"))
        #expect(error?.isTermination == true)
        #expect(options.isTerminated)
        // Later runs are refused; runs with other options are not.
        #expect(failure { try session.run(inputs: [("x", x)], options: options) }?.isTermination == true)
        let a = try Value([1] as [Float], shape: [1], library: library)
        let other = try RunOptions(library: library)
        #expect(
            try OnnxRuntimeTests.session("sum.onnx").run(inputs: [("a", a), ("b", a)], options: other)[0].floats() == [2])
    }

    @Test func aFailureIsNotATermination() throws {
        let library = try testLibrary()
        let session = try session("fails.onnx")
        let x = try Value([1, 2, 3] as [Float], shape: [3], library: library)
        let shape = try Value([7] as [Int64], shape: [1], library: library)
        let options = try RunOptions(library: library)
        let error = failure { try session.run(inputs: [("x", x), ("shape", shape)], options: options) }
        #expect(error?.isTermination == false)
        let text = error?.description ?? ""
        #expect(text.contains("running fails.onnx") && text.contains("Reshape"))
        #expect(!text.contains("\u{1B}") && !text.contains("\n"))
    }
}
