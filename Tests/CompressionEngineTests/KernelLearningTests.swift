import Foundation
import Metrics
import ModelGraph
import Synchronization
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// What is learnt about time on this machine.
@Suite struct KernelLearningTests {
    /// Every layer of a sample model that is a convolution or a product is found in the runtime's profile under whatever name the runtime gave it, and
    /// the runtime runs each kernel that may take its place, in every form.
    @Test(arguments: ["lenet-5", "resnet-8", "ds-cnn"]) func theRuntimeRunsEveryKernel(name: String) throws {
        let session = try Fixture.session(name)
        let plan = try #require(try session.kernels.begin(baseline: 1, conditions: LatencyConditions(), cancellation: Cancellation()))
        let operators = try session.latencies.profile(of: session.model, conditions: LatencyConditions(), cancellation: Cancellation())
        let times = operators.byLayer
        for layer in session.layers where [.conv, .gemm, .matMul].contains(layer.kind) { #expect(times[layer.id] ?? 0 > 0, "\(layer.id)") }
        let group = try #require(plan.groups.first)
        #expect(Set(group.map(\.form)) == Set(KernelForm.allCases))
        let found = try session.kernels.time(group, conditions: LatencyConditions(), cancellation: Cancellation())
        // Integer convolutions with several groups have no kernel in every runtime.
        for kernel in group where kernel.group == 1 { #expect(found[kernel] ?? 0 > 0, "\(kernel)") }
    }

    @Test func storedTimesComeBack() throws {
        let folder = NSTemporaryDirectory() + "lathe-latency-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = LatencyStore(runtime: "1.31.1", threads: 1, machine: "here", folder: folder)
        #expect(store.read().kernels.isEmpty)
        let (first, second) = (Kernel(product: 1, inputs: 8, outputs: 4), Kernel(convolution: [8, 8], inputs: 3, outputs: 16, window: [3, 3]))
        var residuals = LatencyResiduals()
        residuals.learn(0.5, raw: 0.6, changes: ["chain of 2"])
        store.add([first: 0.25], residuals: residuals)
        store.add([second: 0.5], residuals: residuals)
        #expect(store.read().kernels == [first: 0.25, second: 0.5] && store.read().residuals.count == 1)
        // Neither another machine nor another runtime knows.
        #expect(LatencyStore(runtime: "1.31.1", threads: 1, machine: "there", folder: folder).read().kernels.isEmpty)
        #expect(LatencyStore(runtime: "1.30.0", threads: 1, machine: "here", folder: folder).read().kernels.isEmpty)
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) { try Data("{".utf8).write(to: URL(fileURLWithPath: folder + "/" + file)) }
        #expect(store.read().kernels.isEmpty, "a damaged file is begun anew")
        // Numbers that no kernel has would end the program where they are multiplied.
        store.add([first: 0.25, second: 0.5], residuals: residuals)
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
            try text.replacingOccurrences(of: "\"inputs\":3", with: "\"inputs\":9223372036854775807").write(toFile: folder + "/" + file, atomically: true, encoding: .utf8)
        }
        #expect(store.read().kernels.isEmpty, "numbers that were not written are not believed")
        store.add([first: 0.25], residuals: residuals)
        #expect(store.read().kernels == [first: 0.25])
    }
}

/// The baseline's scores of earlier sessions.
@Suite struct ScoreStoreTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "lathe-scores-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test func scoresComeBack() throws {
        try withFolder { folder in
            let store = ScoreStore(folder: folder)
            // Of pooled metrics each sample has contributions of its own length; classifiers have answers.
            let scores = SampleScores(scores: [1, 0, 0.25, -3], contributions: [[0.1, 1e-300], [], [-1], [2, 3, 4]], answers: [1, 2, 3, 4], metric: .detectionMAP)
            let kept = ScoreStore.Kept(scores: scores, areIndependent: false)
            #expect(store.read("a", count: 4, metric: .detectionMAP) == nil)
            store.write(kept, "a")
            #expect(store.read("a", count: 4, metric: .detectionMAP) == kept)
            #expect(store.read("a", count: 5, metric: .detectionMAP) == nil && store.read("b", count: 4, metric: .detectionMAP) == nil)
            let plain = ScoreStore.Kept(scores: SampleScores(scores: [1, 0], metric: .top1), areIndependent: true)
            store.write(plain, "p")
            #expect(store.read("p", count: 2, metric: .top1) == plain)
            // One bit of damage anywhere, or an end cut off, and it is as if there were none.
            let path = folder + "/a.scores"
            let bytes = [UInt8](try #require(FileManager.default.contents(atPath: path)))
            for index in bytes.indices {
                var damaged = bytes
                damaged[index] ^= 1
                try Data(damaged).write(to: URL(fileURLWithPath: path))
                #expect(store.read("a", count: 4, metric: .detectionMAP) == nil, "byte \(index)")
            }
            try Data(bytes.dropLast()).write(to: URL(fileURLWithPath: path))
            #expect(store.read("a", count: 4, metric: .detectionMAP) == nil)
        }
    }

    @Test func oldOnesGo() throws {
        try withFolder { folder in
            let store = ScoreStore(folder: folder, most: 3)
            for number in 0..<5 {
                store.write(ScoreStore.Kept(scores: SampleScores(scores: [Float(number)], metric: .top1), areIndependent: true), "\(number)")
                let date = Date(timeIntervalSince1970: Double(1000 + number))
                try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(folder)/\(number).scores")
            }
            #expect((0..<5).map { store.read("\($0)", count: 1, metric: .top1) != nil } == [false, false, true, true, true])
        }
    }

    /// The second session runs no sample, and says the same; other samples, metrics and models are other scores.
    @Test func theSecondOpeningRunsNothing() throws {
        try withFolder { folder in
            let opened = try Fixture.session("lenet-300-100").opened
            let store = ScoreStore(folder: folder)
            let first = SessionAccuracy(opened, store: store)
            let scores = try first.baselineScores(.validation, limit: nil, workers: nil, cancellation: Cancellation()) { _ in }
            let updates = Counter()
            let second = SessionAccuracy(opened, store: store)
            let again = try second.baselineScores(.validation, limit: nil, workers: nil, cancellation: Cancellation()) { _ in updates.add() }
            #expect(again.scores == scores.scores && updates.count == 1)
            #expect(second.baselineEstimate(.validation)?.value == first.baselineEstimate(.validation)?.value)
            #expect(second.samplesAreIndependent == first.samplesAreIndependent)
            let keys = [
                ScoreStore.key(model: opened.model, samples: "a", runtime: "1"), ScoreStore.key(model: opened.model, samples: "b", runtime: "1"),
                ScoreStore.key(model: opened.model, samples: "a", runtime: "2"), ScoreStore.key(model: opened.model, samples: "a", runtime: "1", machine: "other"),
                ScoreStore.key(model: try Fixture.session("lenet-5").model, samples: "a", runtime: "1"),
            ]
            #expect(Set(keys).count == keys.count)
        }
    }

    private final class Counter: Sendable {
        private let number = Mutex(0)
        var count: Int { number.withLock { $0 } }
        func add() { number.withLock { $0 += 1 } }
    }
}
