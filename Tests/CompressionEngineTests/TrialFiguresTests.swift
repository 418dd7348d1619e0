import Foundation
import Measurement
import Testing

@testable import CompressionEngine

@Suite("Figures of trials")
struct TrialFiguresTests {
    /// Stored by version 0.1.0 before figures were kept by measure.
    @Test("Trials of earlier versions are read, and written so that earlier versions read them")
    func storedTrials() throws {
        let old =
            #"{"accuracy":0.925,"accuracyInterval":{"high":0.93,"low":0.92},"latencyMedian":0.25,"latencyRatio":0.5,"macs":2293000,"metric":"top-1","#
            + #""nonZeros":43108,"outcomes":{"count":0,"known":[],"right":[]},"packedBytes":51200,"seen":100,"serializedBytes":1724336,"total":100,"trainingSeconds":26.04}"#
        let figures = try JSONDecoder().decode(TrialFigures.self, from: Data(old.utf8))
        #expect(figures[.top1] == 0.925 && figures[.sqnr] == nil && figures.isComplete && figures.metric == .top1)
        #expect(figures[.file] == 1_724_336 && figures[.packed] == 51_200 && figures[.latency] == 0.25 && figures[.macs] == 2_293_000 && figures[.nonZeros] == 43_108)
        #expect(figures[.trainingTime] == 26.04 && figures[.gzip] == nil)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let written = try JSONSerialization.jsonObject(with: encoder.encode(figures)) as? [String: Any]
        var expected = try JSONSerialization.jsonObject(with: Data(old.utf8)) as? [String: Any]
        expected?["outcomes"] = nil
        #expect(try NSDictionary(dictionary: #require(written)) == NSDictionary(dictionary: #require(expected)))
    }
}
