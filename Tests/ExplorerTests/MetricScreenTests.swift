import CompressionEngine
import Datasets
import Foundation
import Measurement
import Metrics
import TerminalCells
import Testing

@testable import Explorer

/// Every metric of Docs/DataSets.md in every view: its own unit, range and direction, and no crash.
@Suite struct MetricScreenTests {
    static let sizes = [Size(width: 60, height: 18), Size(width: 80, height: 24), Size(width: 120, height: 40), Size(width: 160, height: 48), Size(width: 200, height: 60)]

    /// One of each unit, range and direction.
    static let kinds: [MetricKind] = [
        .top1, .agreement, .cosine, .sqnr, .characterErrorRate, .mae, .r2, .perplexity, .falseAccepts, .detectionMAP, .logLoss, .score, .error,
    ]

    private func driver(_ metric: MetricKind, _ size: Size, _ tier: GlyphTier = .block) -> Driver {
        let driver = Driver(FakeEngine(metric: metric), size: size, theme: Theme(glyphTier: tier))
        driver.press("space tab l l T")
        driver.wait()
        return driver
    }

    @Test(arguments: kinds) func everyViewInEverySize(metric: MetricKind) {
        for size in Self.sizes {
            for tier in [GlyphTier.ascii, .block] {
                let driver = driver(metric, size, tier)
                for view in 1...6 {
                    driver.press("\(view)")
                    let grid = ExplorerView.frame(driver.model).grid
                    #expect(grid.size == size)
                    // Panes that share a place come one after the other.
                    for _ in 0..<4 {
                        driver.press("tab")
                        #expect(ExplorerView.frame(driver.model).grid.size == size)
                    }
                }
            }
        }
    }

    /// The figures pane: name, value with unit, change in that unit, a fall told as worse.
    @Test(arguments: kinds) func theFiguresPaneHasUnitAndDirection(metric: MetricKind) throws {
        let driver = driver(metric, Size(width: 160, height: 48))
        let row = try #require(driver.model.measureRows.first)
        #expect(row.measure == .metric(metric) && driver.model.board.axes.y == .metric(metric))
        let units: (value: String, change: String) =
            switch row.measure.format {
            case .percent: (" %", " pt")
            case .fixed(_, let unit, _), .significant(_, let unit, _): unit.isEmpty ? ("", "") : (" " + unit, " " + unit)
            default: ("", "")
            }
        let now = row.now.text(tier: .block)
        let change = row.change.text(tier: .block)
        #expect(now.hasSuffix(units.value) && change.hasSuffix(units.change) && change.hasPrefix("-"), "\(now) \(change)")
        if units.value.isEmpty { #expect(!now.contains(" ") && !change.contains(" ")) }
        let line = try #require(
            driver.screen.split(separator: "\n").first { ($0.contains(row.measure.title) || $0.contains(row.measure.shortTitle)) && $0.contains(now) }, "\(driver.screen)")
        #expect(line.contains(change))
        // The fake engine's proportions fall less than their interval reaches; its other values fall clearly.
        let isClear = !metric.isProportion
        let word = row.measure.direction == .lower ? Verdict.better : .worse
        #expect(row.verdict == (isClear ? word : .unclear), "\(row)")
        #expect(driver.screen.contains(isClear ? "\(word.rawValue) by" : "no loss found (within"), "\(driver.screen)")
    }

    /// The chart's own axis: labels in the metric's unit, none outside what is possible.
    @Test(arguments: kinds) func axesHaveTheMetricsUnitAndRange(metric: MetricKind) throws {
        let measure = Measure.metric(metric)
        for (keys, title) in [("1", measure.name), ("3", measure.title)] {
            let driver = driver(metric, Size(width: 160, height: 48))
            driver.press(keys)
            let screen = driver.screen
            #expect(screen.contains(title), "\(screen)")
            if metric == .sqnr { #expect(screen.contains(" dB") && !screen.contains("3850"), "\(screen)") }
            if metric == .cosine { #expect(!screen.contains("99.91 %") && !screen.contains("1.02"), "\(screen)") }
        }
    }

    /// A value that is no comparison of right and wrong has no McNemar p.
    @Test(arguments: [MetricKind.cosine, .sqnr]) func meansHaveNoTestOfProportions(metric: MetricKind) {
        let screen = driver(metric, Size(width: 120, height: 40)).screen
        #expect(!screen.contains("p<0.001") && !screen.contains(" p 0."), "\(screen)")
    }

    @Test func aLossBudgetIsInTheMetricsUnit() {
        #expect(ExplorerModel.allocationGoal("3dB", metric: .sqnr) == .maximumDrop(3) && ExplorerModel.allocationGoal("3 dB", metric: .sqnr) == .maximumDrop(3))
        #expect(ExplorerModel.allocationGoal("0.01 cosine", metric: .cosine) == .maximumDrop(0.01))
        #expect(ExplorerModel.allocationGoal("0.5pt", metric: .sqnr) == nil && ExplorerModel.allocationGoal("50%", metric: .sqnr) == .share(0.5))
    }
}
