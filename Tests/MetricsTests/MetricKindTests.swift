import Metrics
import Testing

@Suite struct MetricKindTests {
    @Test func metricsThatNeedNoLabelsAreLikenesses() {
        #expect(MetricKind.allCases.filter { !$0.needsLabels } == [.agreement, .cosine, .sqnr])
    }
}
