import CompressionEngine
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques

/// What `lathe sensitivity --json` prints.
struct SensitivityDocument: JSONDocument {
    struct Cell: Encodable {
        /// Value of the parameter; absent where the technique is on or off.
        var value: String?
        var samples: Int?
        /// The metric with this row alone changed, in its unit, and the baseline's on the same samples.
        var accuracy: Double?
        var baseline: Double?
        /// What of the metric is lost, with its 95 % interval for paired samples.
        var loss: Double?
        var lossInterval: Interval?
        /// What gradients predict: divergence of the outputs (nats at temperature 2, times 4; mean squared difference of numbers), its 95 % interval, and
        /// what the metric loses by it where the scale is known.
        var predicted: Double?
        var predictedInterval: Interval?
        var predictedLoss: Double?
        /// Latency against the baseline's, in turns, with its 95 % interval; where asked for.
        var latencyRatio: Double?
        var latencyInterval: Interval?
        /// What the change takes away by measure: predicted; of latency measured, in milliseconds, 0 where noise may have made it.
        var saved: [String: Double]
        var problem: String?
        /// Found in the store, not run now.
        var stored: Bool
    }

    struct Row: Encodable {
        var layers: [String]
        var cells: [Cell]
    }

    struct Allocation: Encodable {
        struct Choice: Encodable {
            var layer: String
            /// Value of the parameter; absent where the layer is left alone.
            var value: String?
            var changed: Bool
        }

        var demand: String
        var met: Bool
        var measure: String
        /// Of the baseline and of the allocated model, counted.
        var before: Double
        var after: Double?
        /// The metric of the whole model, measured, and its difference to the baseline.
        var accuracy: Double
        var difference: Double?
        var differenceInterval: Interval?
        /// Sum of the layers' losses: what the grid alone predicted.
        var foretoldLoss: Double
        var choices: [Choice]
        var recipe: String
        var file: String?
    }

    let schema = "lathe.sensitivity/1"
    var model: ModelReference
    var technique: String
    var parameter: String?
    var metric: String?
    /// `measured`, `gradient` or `auto`, and how long it took behind opening.
    var method = SensitivityMethod.measured.rawValue
    var seconds = 0.0
    /// Milliseconds of the baseline, where latency was asked for.
    var baselineMilliseconds: Double?
    var rows: [Row]
    var allocation: Allocation?
}

extension SensitivityDocument {
    init(_ grid: SensitivityGrid, _ session: EngineSession) {
        model = ModelReference(session.info)
        technique = grid.request.step.technique
        parameter = grid.request.parameter
        metric = grid.cells.joined().compactMap { $0?.accuracy?.metric.title }.first ?? session.info.metric?.title
        baselineMilliseconds = grid.baseline[.latency]
        rows = zip(grid.units, grid.cells).map { unit, cells in
            Row(
                layers: unit.layers.map { session.layers[$0].id },
                cells: cells.enumerated().compactMap { column, cell in
                    cell.map { Cell($0, value: grid.request.values.indices.contains(column) ? grid.request.values[column].text : nil) }
                })
        }
    }
}

extension SensitivityDocument.Cell {
    init(_ cell: SensitivityCell, value: String?) {
        self.value = value
        samples = cell.accuracy?.seen
        accuracy = cell.accuracy?.value
        baseline = cell.accuracy?.baseline
        loss = cell.accuracy?.loss
        lossInterval = cell.accuracy?.lossInterval
        predicted = cell.predicted?.loss
        predictedInterval = cell.predicted?.interval
        predictedLoss = cell.predicted?.metricLoss
        latencyRatio = cell.latency?.ratio
        latencyInterval = cell.latency?.ratioInterval
        saved = Dictionary(uniqueKeysWithValues: cell.saved.map { ($0.key.rawValue, $0.value) })
        problem = cell.problem
        stored = cell.isStored
    }
}

extension SensitivityDocument.Allocation {
    init(
        _ found: EngineSession.Allocated, measure: AllocationMeasure, demand: String, before: Double, figures: ModelFigures,
        session: EngineSession, file: String?
    ) {
        self.demand = demand
        met = found.isMet
        self.measure = measure.rawValue
        self.before = before
        after = measure.value(figures) ?? found.value
        accuracy = found.accuracy.value
        difference = found.accuracy.difference
        differenceInterval = found.accuracy.differenceInterval
        foretoldLoss = found.point.loss
        recipe = found.recipe.yaml
        self.file = file
        let step = found.recipe.steps.first
        let chosen = (try? step?.resolve(session.layers, step: 0)) ?? [:]
        let parameter = step.flatMap { TechniqueRegistry.technique($0.technique)?.descriptor.mainParameter }
        choices = session.layers.enumerated().map { position, layer in
            Choice(layer: layer.id, value: parameter.flatMap { chosen[position]?[$0]?.text }, changed: chosen[position] != nil)
        }
    }
}
