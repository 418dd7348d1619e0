import Foundation
import Measurement
import Metrics
import ModelGraph
import PythonOracle
import Recipes
import Synchronization
import Techniques
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport

/// Tasks from declaration to number, each against Python's onnxruntime and an independent library.
@Suite struct TaskEvaluationTests {
    /// Makes models and sets in a folder, and says what each scores: `name value`, a line each.
    private static let made = Result { () throws -> (folder: TemporaryFolder, values: [String: Double]) in
        let folder = try TemporaryFolder()
        let path = Repository.root + "/Tests/CompressionEngineTests/task_models.py"
        let text = try Python.run(try String(contentsOfFile: path, encoding: .utf8), folder.path)
        var values: [String: Double] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2 { values[String(parts[0])] = Double(String(parts[1])) }
        }
        return (folder, values)
    }

    private func session(_ name: String) throws -> (session: EngineSession, value: Double) {
        let made = try Self.made.get()
        let base = name.split(separator: ":").first.map(String.init) ?? name
        let model = String(base.split(separator: "-").first ?? "")
        let session = try EngineSession.open(
            OpenRequest(modelPath: "\(made.folder.path)/\(model).onnx", dataPath: "\(made.folder.path)/\(base).yaml", recipePath: nil, runtimePath: nil))
        return (session, try #require(made.values[name], "\(name)"))
    }

    @Test(
        "The baseline scores what Python says",
        arguments: [
            "classes-f1", "classes-auc", "classes-logloss", "classes-balanced", "binary-auc", "binary-f1", "regression-rmse", "regression-r2", "labels-map", "frames-accuracy",
            "times-accuracy", "text-cer", "text-exact", "segment-iou", "state-accuracy", "state-constant", "tokens-perplexity", "tokens-causal", "classes-command",
            "pairs-similarity",
        ])
    func baseline(name: String) throws {
        let (session, expected) = try session(name)
        try session.baselineScores()
        let estimate = try #require(session.baselineEstimate())
        #expect(abs(estimate.value - expected) <= 1e-6 * max(1, abs(expected)), "\(name): \(estimate.value), Python \(expected)")
        #expect(estimate.isComplete && estimate.interval.low <= estimate.value && estimate.value <= estimate.interval.high)
        // The same model differs by nothing.
        let same = try session.evaluate(session.model)
        #expect(same.difference == 0 && same.verdict != .worse && same.verdict != .better && same.value == estimate.value)
    }

    @Test(
        "Without a metric, labels and outputs decide",
        arguments: [
            ("regression-none", MetricKind.rmse), ("labels-none", .multilabelAP), ("frames-none", .frameAccuracy), ("text-none", .characterErrorRate), ("segment-none", .meanIoU),
            ("tokens-none", .tokenAccuracy), ("classes-none", .top1),
        ])
    func guesses(name: String, metric: MetricKind) throws {
        let made = try Self.made.get()
        let model = name.split(separator: "-")[0]
        let session = try EngineSession.open(
            OpenRequest(modelPath: "\(made.folder.path)/\(model).onnx", dataPath: "\(made.folder.path)/\(name).yaml", recipePath: nil, runtimePath: nil))
        #expect(session.info.metric == metric)
        if metric != .top1 { #expect(session.info.dataNotes.contains { $0.contains("no metric is declared") }) }
    }

    @Test func aBaselineThatLooksWrongIsSaid() throws {
        func remarks(_ name: String) throws -> String {
            let (session, _) = try session(name)
            try session.baselineScores()
            return try session.baselineRemarks().joined(separator: "; ")
        }
        let shifted = try remarks("classes-shifted:top1")
        #expect(shifted.contains("numbered otherwise") && shifted.contains("class 0 are mostly answered with 4"), "\(shifted)")
        let chance = try remarks("classes-chance:top1")
        #expect(chance.contains("chance for 5 classes"), "\(chance)")
        let (good, _) = try session("classes-f1")
        try good.baselineScores()
        #expect(try good.baselineRemarks().isEmpty)
    }

    @Test func calibrationSeesTheStepsOfSequences() throws {
        let (session, _) = try session("state-accuracy")
        let calibration = try #require(session.opened.calibration)
        // Eight sequences of twelve steps.
        #expect(calibration.count == 96 && calibration.inputs.map(\.name).sorted() == ["state", "x"])
        let applied = try session.apply(Recipe(steps: [RecipeStep(technique: "dynamic-int8")]))
        let estimate = try session.evaluate(applied.model)
        #expect(estimate.isComplete && estimate.difference != nil)
    }

    @Test func classesThatLoseAreListedWorstFirst() throws {
        let (session, _) = try session("classes-f1")
        try session.baselineScores()
        let applied = try session.apply(Recipe(steps: [RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.9)]))]))
        let estimate = try session.evaluate(applied.model)
        #expect(!estimate.classes.isEmpty && estimate.classes.map(\.count).reduce(0, +) == estimate.total)
        #expect(zip(estimate.classes, estimate.classes.dropFirst()).allSatisfy { $0.loss >= $1.loss })
        guard case .answers(let changed) = try session.changes(applied.model) else { throw EngineError(.data, "a classifier has answers") }
        let wrong = estimate.classes.reduce(0) { $0 + $1.count - $1.right }
        #expect(!changed.isEmpty && changed.count { $0.answer != $0.label } <= wrong && changed.allSatisfy { $0.answer != $0.baseline })
        #expect(changed.map(\.row) == changed.map(\.row).sorted())
    }

    /// What the explorer shows is the last thing it was told.
    @Test("The last estimate knows classes, also the baseline's", arguments: ["classes-none", "classes-f1"])
    func theLastEstimateKnowsClasses(name: String) throws {
        let made = try Self.made.get()
        let session = try EngineSession.open(
            OpenRequest(modelPath: "\(made.folder.path)/classes.onnx", dataPath: "\(made.folder.path)/\(name).yaml", recipePath: nil, runtimePath: nil))
        let told = Mutex<[AccuracyEstimate]>([])
        try session.baselineScores()
        let baseline = try #require(session.baselineEstimate())
        #expect(baseline.classes.map(\.count).reduce(0, +) == baseline.total && baseline.classes.allSatisfy { $0.loss == 0 })
        let applied = try session.apply(Recipe(steps: [RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.8)]))]))
        let estimate = try session.evaluate(applied.model) { estimate in told.withLock { $0.append(estimate) } }
        let last = try #require(told.withLock { $0.last })
        #expect(last.isComplete && last.value == estimate.value && last.classes == estimate.classes && !last.classes.isEmpty)
        #expect(told.withLock { $0.count { $0.isComplete } } == 1)
    }

    @Test("Samples without classes are listed by what they lose", arguments: ["text-cer", "regression-rmse", "segment-iou", "frames-accuracy"])
    func samplesThatLoseAreListedWorstFirst(name: String) throws {
        let (session, _) = try session(name)
        try session.baselineScores()
        let applied = try session.apply(Recipe(steps: [RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.6)]))]))
        let estimate = try session.evaluate(applied.model)
        guard case .values(let samples) = try session.changes(applied.model) else { throw EngineError(.data, "samples have values") }
        #expect(!samples.isEmpty && samples.map(\.row).count == Set(samples.map(\.row)).count && estimate.samples == Array(samples.prefix(200)))
        let losses = samples.map { estimate.measure.loss(ofChange: $0.value - $0.baseline) }
        #expect(losses == losses.sorted(by: >))
        // Errors of lines of one length each are summed up to the error of all; squares, to the square of all.
        if name == "regression-rmse" {
            let sum = samples.reduce(0) { $0 + $1.value * $1.value - $1.baseline * $1.baseline } / Double(estimate.total)
            let before = try #require(estimate.baseline)
            #expect(abs(sum - (estimate.value * estimate.value - before * before)) < 1e-6 * max(1, abs(sum)))
        }
    }

    @Test func whatHasNoValueForOneSampleIsSaid() throws {
        let (session, _) = try session("regression-r2")
        #expect { try session.changes(session.model) } throws: { "\($0)".contains("no value for one sample alone") }
    }

    @Test func aRuinedModelIsAnsweredWithANearbyRecipe() throws {
        let (session, _) = try session("classes-f1")
        try session.baselineScores()
        let layers = session.layers.count
        let recipe = Recipe(steps: [RecipeStep(technique: "weight-quantization", parameters: ParameterValues(["bits": .integer(1), "granularity": .choice("tensor")]))])
        let estimate = try session.evaluate(try session.apply(recipe).model)
        #expect(layers > 0)
        let rescue = try session.rescue(recipe, estimate, cancellation: Cancellation())
        if let rescue {
            let (before, after) = (try #require(estimate.loss), try #require(rescue.accuracy.loss))
            #expect(after < before / 2 && rescue.recipe != recipe && rescue.technique == "weight-quantization" && !rescue.change.isEmpty)
            #expect(try session.evaluate(session.apply(rescue.recipe).model).value == rescue.accuracy.value)
        }
        // What has not ruined the model is left alone.
        let mild = try session.evaluate(try session.apply(Recipe(steps: [RecipeStep(technique: "fp16")])).model)
        #expect(try session.rescue(Recipe(steps: [RecipeStep(technique: "fp16")]), mild, cancellation: Cancellation()) == nil)
    }
}
