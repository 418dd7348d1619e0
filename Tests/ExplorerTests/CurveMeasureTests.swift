import CompressionEngine
import Measurement
import Recipes
import Techniques
import TerminalCells
import Testing

@testable import Explorer

/// The what-if curve of other measures than the metric, and of two at once.
@Suite struct CurveMeasureTests {
    /// A driver whose curve knows sizes for three values of the pruning knob.
    private func driver() throws -> Driver {
        let driver = Driver(size: Size(width: 230, height: 60))
        driver.press("space")
        driver.wait()
        let request = try #require(driver.model.whatIf.request)
        let points = [0.2, 0.5, 0.8].map { value -> WhatIfForecast in
            let recipe = Recipe(steps: [RecipeStep(technique: request.key.step.technique, parameters: ParameterValues([request.key.parameter: .real(value)]))])
            return WhatIfForecast(value: .real(value), figures: FakeModel.figures(of: recipe, provenance: .estimated))
        }
        driver.send(.engine(.whatIfForecast(generation: request.generation, points)))
        return driver
    }

    @Test func oneKeyCyclesThroughMeasures() throws {
        let driver = try driver()
        var seen: [String] = []
        for _ in 0..<ExplorerModel.curveMeasures.count {
            driver.press("w")
            seen.append(try #require(driver.model.ui.curveMeasure).id)
            #expect(driver.screen.contains("\(try #require(driver.model.ui.curveMeasure).name), predicted"))
        }
        #expect(Set(seen).count == seen.count && seen.contains("latency") && seen.contains("macs"))
        driver.press("w")
        #expect(driver.model.ui.curveMeasure == nil && !driver.screen.contains(", predicted"))
    }

    @Test func twoMeasuresEachHaveTheirScale() throws {
        let driver = try driver()
        #expect(!driver.screen.contains("(right)"))
        var names: [String] = []
        for _ in ExplorerModel.curveMeasures {
            driver.press("W")
            guard case .measure(let measure) = driver.model.ui.curveOverlay else { continue }
            if driver.screen.contains("\(measure.name) (right)") { names.append(measure.id) }
        }
        // Those that the fake engine predicts.
        #expect(names.contains("non-zeros") || names.contains("parameters"), "\(names) \(driver.screen)")
        driver.press("W")
        #expect(driver.model.ui.curveOverlay == .none)
        // Over another measure the metric may stand; a measure is not laid over itself.
        driver.press("w")
        var overlays: [CurveOverlay] = []
        for _ in 0..<(ExplorerModel.curveMeasures.count + 1) {
            driver.press("W")
            overlays.append(driver.model.ui.curveOverlay)
        }
        #expect(overlays.contains(.metric) && !overlays.contains(.measure(.latency)))
        while driver.model.ui.curveOverlay != .metric { driver.press("W") }
        driver.press("w w w w w w w w w w w w w w w w w w w w")
        while driver.model.ui.curveMeasure != nil { driver.press("w") }
        #expect(driver.model.ui.curveOverlay == .none)
    }
}
