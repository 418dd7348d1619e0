import Foundation
import Metrics
import ModelGraph
import OnnxRuntime
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques
@testable import Training

@Suite(.serialized) struct GradientSensitivityTests {
    private func request(_ technique: String, _ parameters: [String: ParameterValue] = [:], values: [ParameterValue], samples: Int = 500) throws -> SensitivityRequest {
        try SensitivityRequest(step: RecipeStep(technique: technique, parameters: ParameterValues(parameters)), values: values, samples: samples)
    }

    /// Pearson's correlation of ranks, equal numbers sharing the mean of theirs.
    private func spearman(_ x: [Double], _ y: [Double]) -> Double {
        func ranks(_ values: [Double]) -> [Double] {
            values.map { value -> Double in
                let (below, equal) = (values.count { $0 < value }, values.count { $0 == value })
                return Double(below) + Double(equal - 1) / 2
            }
        }
        let (a, b) = (ranks(x), ranks(y))
        let middle = Double(x.count - 1) / 2
        var (ab, aa, bb) = (0.0, 0.0, 0.0)
        for (p, q) in zip(a, b) {
            ab += (p - middle) * (q - middle)
            aa += (p - middle) * (p - middle)
            bb += (q - middle) * (q - middle)
        }
        return ab / (aa * bb).squareRoot()
    }

    /// Rows of the model's output over the first samples of the calibration split.
    private func outputs(_ model: Model, _ session: EngineSession, count: Int) throws -> [[Double]] {
        let set = try #require(session.opened.calibration)
        let runner = try ModelRunner(model, library: try session.opened.requiredRuntime())
        let name = try AccuracyEvaluation.scoredOutput(of: model).name
        var rows: [[Double]] = []
        for start in stride(from: 0, to: count, by: 8) {
            let value = try runner.run(try set.values(start..<start + 8), outputs: [name], cancellation: Cancellation())[0]
            let floats = try value.floats().map(Double.init)
            for row in 0..<8 { rows.append(Array(floats[row * (floats.count / 8)..<(row + 1) * (floats.count / 8)])) }
        }
        return rows
    }

    /// 4 · KL(softmax(a / 2) ‖ softmax(b / 2)), by definition.
    private func divergence(_ a: [Double], _ b: [Double]) -> Double {
        func logarithms(_ row: [Double]) -> [Double] {
            let halves = row.map { $0 / 2 }
            let top = halves.max() ?? 0
            let total = log(halves.reduce(0) { $0 + exp($1 - top) }) + top
            return halves.map { $0 - total }
        }
        var total = 0.0
        for (p, q) in zip(logarithms(a), logarithms(b)) { total += exp(p) * (p - q) }
        return 4 * total
    }

    /// For small changes the prediction is the divergence itself, found here by running both models: no gradient, no second derivative.
    @Test(arguments: ["lenet-5", "lenet-300-100", "lstm"]) func predictionIsTheDivergenceOfSmallChanges(_ name: String) throws {
        let session = try Fixture.session(name)
        let request = try request("weight-quantization", values: [.integer(6), .integer(8)])
        let grid = try GradientSensitivity(session).run(request, samples: 1000)
        let before = try outputs(session.model, session, count: 1000)
        var seen = 0
        for (unit, cells) in zip(grid.units, grid.cells) {
            for (column, cell) in cells.enumerated() {
                let predicted = try #require(cell?.predicted)
                let applied = try session.apply(request.recipe(column, layers: unit.layers, of: session.layers))
                let after = try outputs(applied.model, session, count: 1000)
                var real = 0.0
                for (a, b) in zip(before, after) { real += divergence(a, b) / 1000 }
                // Four standard errors, and what the third order adds.
                #expect(abs(predicted.loss - real) < 4 * predicted.standardError + 0.1 * real, "\(unit.title) \(column): \(predicted) against \(real)")
                #expect(predicted.standardError < 0.35 * predicted.loss)
                seen += 1
            }
        }
        #expect(seen == 2 * grid.units.count)
    }

    /// The change read off a rewritten graph, put into the original as plain weights, gives what the rewritten model gives.
    @Test(arguments: [
        ("lenet-5", "weight-quantization", "bits", "3"), ("resnet-8", "weight-quantization", "bits", "4"), ("lstm", "weight-quantization", "bits", "4"),
        ("lenet-300-100", "svd", "ratio", "0.3"), ("resnet-8", "svd", "ratio", "0.4"), ("resnet-8", "tucker-2", "ratio", "0.4"), ("resnet-8", "spatial-svd", "ratio", "0.4"),
        ("ds-cnn", "weight-sharing", "values", "8"), ("transformer", "svd", "ratio", "0.3"), ("lenet-5", "magnitude-pruning", "sparsity", "0.7"),
    ])
    func changesAreWhatTheRewriteDoes(_ name: String, _ technique: String, _ parameter: String, _ value: String) throws {
        let session = try Fixture.session(name)
        let descriptor = try #require(TechniqueRegistry.technique(technique)?.descriptor)
        let found = try #require(descriptor.parameter(parameter) ?? descriptor.mainParameter.flatMap(descriptor.parameter))
        let request = try request(technique, values: [try found.parse(value)])
        let units = try SensitivityAnalysis.units(request, session, Cancellation())
        let applied = try session.apply(request.recipe(0, layers: units.flatMap(\.layers), of: session.layers)).model
        let reader = WeightChanges(
            original: session.model, layers: session.layers, library: try session.opened.requiredRuntime(), shapes: try #require(try session.shapes(of: session.model)).dims)
        var changed = session.model
        let changes = try reader.changes(in: applied, of: units.flatMap(\.layers), cancellation: Cancellation())
        #expect(changes.count == units.flatMap(\.layers).count)
        for (position, change) in changes {
            guard case .tensors(let tensors) = change else {
                Issue.record("\(session.layers[position].id): \(change)")
                continue
            }
            for (name, difference) in tensors {
                let old = try #require(session.model.graph.initializers[name])
                changed.graph.initializers[name] = old.withFloats(zip(try #require(old.floats()), difference).map(+))
            }
        }
        let (one, other) = (try outputs(applied, session, count: 16), try outputs(changed, session, count: 16))
        let start = try outputs(session.model, session, count: 16)
        func distance(_ a: [[Double]], _ b: [[Double]]) -> Double {
            var total = 0.0
            for (x, y) in zip(a.joined(), b.joined()) { total += (x - y) * (x - y) }
            return total.squareRoot()
        }
        #expect(distance(one, other) < 1e-4 * distance(one, start) + 1e-4, "\(distance(one, other)) beside \(distance(one, start))")
    }

    /// Layers and values stand in the order of what is measured: of changed answers, which are known better than losses of accuracy.
    @Test func rankingIsThatOfMeasuredLosses() throws {
        let folder = try TemporaryFolder()
        let session = try unlabeled(in: folder)
        let request = try request("weight-quantization", values: [2, 3, 4, 5, 6].map { .integer($0) }, samples: 2000)
        let predicted = try GradientSensitivity(session).ranked(request)
        let measured = try SensitivityAnalysis(session).run(request).cells.map { $0.map { $0?.loss } }
        var pairs: [(Double, Double)] = []
        for (a, b) in zip(predicted.joined(), measured.joined()) { if let a, let b { pairs.append((a, b)) } }
        #expect(pairs.count == 5 * session.layers.count)
        let correlation = spearman(pairs.map(\.0), pairs.map(\.1))
        #expect(correlation > 0.9, "\(correlation)")
        // More bits cost less, in every layer.
        for row in predicted.map({ $0.compactMap(\.self) }) { #expect(row == row.sorted(by: >)) }
    }

    /// A session on LeNet-5 whose outputs are compared with the original model's.
    private func unlabeled(in folder: TemporaryFolder) throws -> EngineSession {
        let path = folder.path + "/unlabeled.yaml"
        let text = try String(contentsOfFile: Samples.data, encoding: .utf8)
        let here = (Samples.data as NSString).deletingLastPathComponent
        let lines = text.replacingOccurrences(of: " fashion-mnist/", with: " \(here)/fashion-mnist/").replacingOccurrences(of: "metric: top1", with: "metric: agreement")
        try lines.write(toFile: path, atomically: true, encoding: .utf8)
        return try EngineSession.open(OpenRequest(modelPath: Samples.path("lenet-5"), dataPath: path))
    }

    /// The same numbers each time, whatever the threads do.
    @Test func predictionsRepeat() throws {
        let session = try Fixture.session("ds-cnn")
        let request = try request("magnitude-pruning", values: [.real(0.5)])
        #expect(try GradientSensitivity(session).ranked(request) == GradientSensitivity(session).ranked(request))
    }

    /// A threshold over all layers is not what prunes a layer alone.
    @Test func unitsAreChangedAlone() throws {
        let session = try Fixture.session("lenet-5")
        let whole = try GradientSensitivity(session).ranked(try request("magnitude-pruning", ["scope": .choice("global")], values: [.real(0.7)]))
        let layers = try GradientSensitivity(session).ranked(try request("magnitude-pruning", ["scope": .choice("layer")], values: [.real(0.7)]))
        #expect(whole == layers)
    }

    @Test func whatGradientsCannotTellIsSaid() throws {
        let session = try Fixture.session("lenet-5")
        for technique in ["static-int8", "dynamic-int8", "structured-pruning"] {
            let cells = try GradientSensitivity(session).run(try request(technique, values: [])).cells.joined()
            let problems = cells.compactMap { $0?.problem }
            #expect(!problems.isEmpty && problems.allSatisfy { !$0.contains("\n") }, "\(technique)")
            #expect(cells.allSatisfy { ($0?.predicted == nil) == ($0?.problem != nil) })
        }
    }

    /// Two cells tell the scale; those whose order is not clear are measured, while there is time.
    @Test func unclearCellsAreMeasured() throws {
        let session = try Fixture.session("lenet-5")
        let request = try request("weight-quantization", values: [.integer(2), .integer(3), .integer(4)])
        let analysis = SensitivityAnalysis(session)
        let predicted = try analysis.refined(request, measures: false)
        #expect(predicted.isComplete && predicted.cells.joined().count { $0?.accuracy != nil } == 2)
        #expect(predicted.cells.joined().allSatisfy { ($0?.predicted?.metricLoss ?? -1) >= 0 && $0?.saved.isEmpty == false })
        let unclear = try analysis.refined(request, measures: false, samples: 4 * GradientSensitivity.samples).unclear
        let refined = try analysis.refined(request)
        for (unit, column) in unclear { #expect(refined.cells[unit][column]?.accuracy != nil) }
        #expect(refined.cells.joined().count { $0?.accuracy != nil } <= unclear.count + 2)
        let hurried = try analysis.refined(request, seconds: 0)
        #expect(hurried.isComplete && hurried.cells.joined().allSatisfy { $0?.accuracy == nil && $0?.predicted != nil })
        // What an allocation needs is there.
        #expect(try Allocation(predicted, measure: .size).path.count > 2)
    }

    @Test func cancellationEnds() throws {
        let cancelled = Cancellation()
        cancelled.cancel()
        #expect {
            try GradientSensitivity(try Fixture.session("lenet-5"), cancellation: cancelled).run(try request("weight-quantization", values: [.integer(4)]))
        } throws: {
            ($0 as? EngineError)?.kind == .cancelled
        }
    }

    @Test func withoutDataItSaysSo() throws {
        let session = try EngineSession.open(OpenRequest(modelPath: Samples.path("lenet-5")))
        let text = message { _ = try GradientSensitivity(session).run(try request("weight-quantization", values: [.integer(4)])) }
        #expect(text.contains("needs a data set") && !text.contains("\n"))
    }

    /// Without labels the outputs themselves are compared: the same numbers, since labels are not looked at.
    @Test func labelsAreNotLookedAt() throws {
        let folder = try TemporaryFolder()
        let other = try unlabeled(in: folder)
        #expect(other.info.metric == .agreement)
        let request = try request("weight-quantization", values: [.integer(3)])
        let (a, b) = (try GradientSensitivity(other).ranked(request).joined(), try GradientSensitivity(try Fixture.session("lenet-5")).ranked(request).joined())
        for (x, y) in zip(a, b) {
            let (one, other) = (try #require(x), try #require(y))
            #expect(abs(one - other) < 1e-6 * other)
        }
    }
}
