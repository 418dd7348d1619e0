import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import Recipes
import Techniques

/// A turn of the threshold of early exits on ResNet-8: the figures expected at the new one, and the whole curve over it, as the workbench
/// sends it to be drawn.
enum ExitThreshold {
    static func run() throws {
        print("from a turned exit threshold to its figures and to the last point of its curve (target: p99 under 16 ms)")
        let workbench = Workbench()
        let events = EventQueue()
        workbench.open(OpenRequest(modelPath: Repository.sample("resnet-8"), dataPath: Repository.data)) { events.push($0) }
        try events.wait { if case .baselineAccuracy(let estimate) = $0 { estimate.isComplete } else { false } }
        let step = RecipeStep(technique: "early-exits")
        workbench.evaluate(Recipe(steps: [step]), generation: 1)
        try events.wait { if case .accuracy(1, let estimate) = $0 { estimate.isComplete } else { false } }
        guard let threshold = TechniqueRegistry.technique("early-exits")?.descriptor.parameters.first(where: { $0.name == "threshold" }) else { return }
        func recipe(_ value: ParameterValue) -> Recipe {
            var turned = step
            turned.parameters["threshold"] = value
            return Recipe(steps: [turned])
        }
        // Prepared, the curve comes whole: its points are counted once.
        var points = 0
        for _ in 0..<600 where points == 0 {
            workbench.traceWhatIf(recipe(threshold.defaultValue), step: 0, parameter: "threshold", generation: 2)
            Thread.sleep(forTimeInterval: 0.1)
            points = events.drain().count { if case .whatIf(2, let point) = $0 { point.live != nil } else { false } }
        }
        guard points > 1 else { throw EngineError(.runtime, "no curve over the threshold") }
        Thread.sleep(forTimeInterval: 0.5)
        _ = events.drain()
        var (figures, curve) = (Distribution(), Distribution())
        var value = threshold.defaultValue
        for press in 0..<300 {
            value = threshold.stepped(value, by: press % 60 < 30 ? -1 : 1)
            let start = DispatchTime.now().uptimeNanoseconds
            guard workbench.predict(recipe(value))?.live != nil else { throw EngineError(.recipe, "no figures of the exits") }
            figures.times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
            workbench.traceWhatIf(recipe(value), step: 0, parameter: "threshold", generation: press + 3)
            for _ in 0..<points { try events.wait { if case .whatIf(press + 3, _) = $0 { true } else { false } } }
            curve.times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
        }
        workbench.close()
        figures.printed("resnet-8: figures at the new threshold")
        curve.printed("resnet-8: all \(points) points of the curve")
    }
}
