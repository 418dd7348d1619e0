import EngineSupport
import ModelGraph
import OnnxRuntime
import Synchronization

/// Whether a model takes several samples in one call although it declares an open batch: exporters leave extents of the sample they traced inside
/// (a Reshape to [1, 64], states of one sequence). Found out when first asked, by running two samples, and kept.
package final class BatchProbe: Sendable {
    private let model: Model
    private let library: RuntimeLibrary
    private let answer = Mutex<Bool?>(nil)

    package init(_ model: Model, _ library: RuntimeLibrary) {
        self.model = model
        self.library = library
    }

    /// Whether one sample runs and two together do not.
    package func takesOne(_ samples: SampleSet) -> Bool {
        answer.withLock { known in
            if let known { return known }
            let found = (try? found(samples)) ?? false
            known = found
            return found
        }
    }

    private func found(_ samples: SampleSet) throws -> Bool {
        guard samples.count >= 2, !samples.isSequence else { return false }
        let runner = try ModelRunner(model, library: library, label: "baseline")
        let outputs = model.graph.outputs.prefix(1).map(\.name)
        func runs(_ rows: Int) throws -> Bool {
            let values = try samples.values(0..<rows)
            return (try? runner.run(values, outputs: outputs, cancellation: Cancellation())) != nil
        }
        return try !runs(2) && runs(1)
    }
}
