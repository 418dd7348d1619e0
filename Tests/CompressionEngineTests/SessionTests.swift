import Foundation
import ModelGraph
import Synchronization
import TestSupport
import Testing

@testable import CompressionEngine
@testable import Datasets
@testable import EngineSupport
@testable import Measurement

/// The session on the sample models, against the figures that `SampleModels/measure.py` computed with Python's
/// onnxruntime (SampleModels/MODELS.md).
@Suite(.serialized) struct SessionTests {
    @Test(arguments: [
        ("lenet-300-100", 266_200.0, 266_610.0), ("lenet-5", 2_293_000.0, 431_080.0), ("resnet-8", 9_345_920.0, 78_138.0),
        ("ds-cnn", 1_803_840.0, 22_666.0), ("transformer", 2_086_528.0, 71_370.0), ("lstm", 2_237_696.0, 82_186.0),
    ])
    func computeAndParametersEqualTheFixtures(name: String, macs: Double, parameters: Double) throws {
        let session = try Fixture.session(name)
        let figures = try session.figures(of: session.model)
        #expect(figures.macs?.value == macs)
        #expect(figures.parameters.value == parameters)
        #expect(figures.serializedBytes.provenance == .measured)
    }

    /// Every image agrees with Python: the counts of right answers on 10,000 validation and 4,000 test images.
    @Test(arguments: [("lenet-300-100", 8998, 3612), ("lenet-5", 9223, 3705), ("lstm", 9081, 3622)])
    func accuracyEqualsPythons(name: String, validation: Int, test: Int) throws {
        let session = try Fixture.session(name)
        let first = try session.evaluate(session.model)
        #expect(first.isComplete && Int((first.value * 10_000).rounded()) == validation)
        #expect(first.difference == 0 && first.mcnemarP == 1)
        let second = try session.evaluate(session.model, split: .test)
        #expect(Int((second.value * 4_000).rounded()) == test)
    }

    /// Estimates come as the run goes, each with fewer samples than the next, the first with an interval that holds.
    @Test func estimatesNarrow() throws {
        let session = try Fixture.newSession("lenet-300-100")
        try session.baselineScores()
        let seen = Mutex<[AccuracyEstimate]>([])
        _ = try session.evaluate(session.model) { estimate in seen.withLock { $0.append(estimate) } }
        let estimates = seen.withLock { $0 }
        #expect(estimates.count >= 2)
        #expect(zip(estimates, estimates.dropFirst()).allSatisfy { $0.seen < $1.seen })
        #expect(estimates[0].interval.high - estimates[0].interval.low > estimates.last!.interval.high - estimates.last!.interval.low)
    }

    @Test func cancellationStopsAtOnce() throws {
        let session = try Fixture.newSession("resnet-8")
        let cancellation = Cancellation()
        DispatchQueue.global().asyncAfter(deadline: .now() + 0.05) { cancellation.cancel() }
        let seen = Mutex(0)
        let error = #expect(throws: EngineError.self) {
            try session.evaluate(session.model, cancellation: cancellation) { estimate in seen.withLock { $0 = estimate.seen } }
        }
        #expect(error?.kind == .cancelled)
        #expect(seen.withLock { $0 } < 10_000)
    }
}
