import Foundation
import Testing

@testable import OnnxRuntime

@Suite struct ProfileTests {
    @Test func namesEveryNodeThatRan() throws {
        let library = try testLibrary()
        var options = SessionOptions()
        options.profilingFilePrefix = try Oracle.path("profile")
        options.graphOptimizationLevel = .disable
        let session = try session("mlp.onnx", options: options)
        let x = try Value(Oracle.floats("mlp.x"), shape: [7, 64], library: library)
        for _ in 0..<5 { _ = try session.run(inputs: [("x", x)]) }
        let path = try session.endProfiling()
        #expect(path.hasPrefix(try Oracle.path("profile")))

        let report = try ProfileReport.read(path: path)
        #expect(report.modelRuns.count == 5)
        #expect(report.operators.map(\.node) == ["dense1", "bias1", "squash", "dense2"])
        #expect(report.operators.map(\.opType) == ["MatMul", "Add", "Tanh", "Gemm"])
        #expect(report.operators.allSatisfy { $0.provider == "CPUExecutionProvider" })
        // The warm-up is left out, unless asked for.
        #expect(report.operators.allSatisfy { $0.microseconds.count == 4 })
        #expect(report.operators(skippingRuns: 0).allSatisfy { $0.microseconds.count == 5 })
        #expect(Set(report.nodeRuns.compactMap(\.run)) == Set(0..<5))
        // Nodes take their time within the model's.
        for (run, total) in report.modelRuns.enumerated() {
            let nodes = report.nodeRuns.filter { $0.run == run }.reduce(0) { $0 + $1.duration }
            #expect(nodes <= total)
        }

        let text = try Data(contentsOf: URL(fileURLWithPath: path))
        let short = try Oracle.path("profile-cut.json")
        try text.prefix(text.count / 2).write(to: URL(fileURLWithPath: short))
        guard case .unreadableProfile(short, _)? = failure({ try ProfileReport.read(path: short) }) else {
            Issue.record("half a profile was accepted")
            return
        }
    }

    @Test func theMedianIsTheMiddleOrTheMeanOfTheTwo() {
        func median(_ times: [Double]) -> Double {
            ProfileReport.Operator(node: "n", opType: "o", provider: "p", microseconds: times).medianMicroseconds
        }
        #expect(median([9, 1, 5]) == 5)
        #expect(median([4, 1, 2, 100]) == 3)
        #expect(median([]) == 0)
    }

    @Test func missingProfilesAreErrors() throws {
        guard case .unreadableProfile? = failure({ try ProfileReport.read(path: "/nowhere/profile.json") }) else {
            Issue.record("a missing profile was read")
            return
        }
        #expect(failure { try session("mlp.onnx").endProfiling() } != nil)
    }
}
