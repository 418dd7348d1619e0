import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// What is asked of a sensitivity analysis: how much accuracy each layer loses when a technique works on it alone.
public struct SensitivityRequest: Sendable {
    /// The technique with its other parameters and the layers to look at.
    public var step: RecipeStep
    /// The parameter that is varied; `nil` for techniques without one that says how much: they are on or off.
    public var parameter: String?
    /// Its values, in the order in which they are tried.
    public var values: [ParameterValue]
    /// Validation samples behind one cell.
    public var samples: Int
    /// Under which conditions each cell is timed against the baseline; `nil` for not at all.
    public var latency: LatencyConditions?

    /// - Parameters:
    ///   - parameter: `nil` takes the technique's main parameter.
    ///   - values: empty takes a spread over the parameter's range.
    /// - Throws: `EngineError` if the technique or the parameter does not exist, or a value is out of range.
    public init(step: RecipeStep, parameter: String? = nil, values: [ParameterValue] = [], samples: Int = 2000) throws(EngineError) {
        guard let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else {
            throw EngineError(.recipe, "there is no technique '\(step.technique)'")
        }
        self.step = step
        self.samples = max(samples, 1)
        let chosen = parameter ?? descriptor.mainParameter
        self.parameter = chosen
        guard let chosen else {
            self.values = []
            return
        }
        guard let found = descriptor.parameter(chosen) else {
            throw EngineError(.recipe, "\(descriptor.id) has no parameter '\(chosen)', expected one of \(descriptor.parameters.map(\.name).joined(separator: ", "))")
        }
        for value in values where !found.contains(value) {
            throw EngineError(.recipe, "\(chosen): expected \(found.expectation), found '\(value.text)'")
        }
        self.values = values.isEmpty ? found.spread(6) : values
    }

    /// Columns of the grid: one for each value, or a single one.
    public var columnCount: Int { max(values.count, 1) }

    /// The recipe that does to some layers what a column says.
    func recipe(_ column: Int, layers positions: [Int], of layers: [Layer]) -> Recipe {
        var step = step
        step.layers = LayerSelector(include: positions.map { LayerPattern.exactly($0, in: layers) })
        step.overrides = []
        step.enabled = true
        if let parameter { step.parameters[parameter] = values[column] }
        return Recipe(steps: [step])
    }
}

/// Layers that a technique can only change together: coupled channels, or a shared weight.
public struct SensitivityUnit: Sendable {
    /// Positions among the model's layers.
    public var layers: [Int]
    /// The first layer's name, and how many go with it.
    public var title: String

    public init(layers: [Int], title: String) {
        self.layers = layers
        self.title = title
    }
}

/// What a technique does to one unit at one value.
public struct SensitivityCell: Sendable {
    /// Accuracy of the model with this unit alone changed, paired with the baseline on the same samples.
    public var accuracy: AccuracyEstimate?
    /// What gradients say the change costs; `nil` where it was measured without asking them.
    public var predicted: LossPrediction?
    /// Latency of the model with this unit alone changed, in turns with the baseline.
    public var latency: LatencyFigures?
    /// Bytes of the ONNX file and of the packed archive, parameters, non-zeros and MACs that the change takes away, predicted; and milliseconds, measured,
    /// where they are beyond the noise.
    public var saved: [AllocationMeasure: Double] = [:]
    /// Why there is no number.
    public var problem: String?
    /// Found in the store.
    public var isStored = false

    public init() {}

    /// What of the metric is lost, in its unit; negative where it rose. Measured if it was, else as gradients predict it: on the metric's scale where that is
    /// known, else as a divergence of outputs, which orders cells as well.
    public var loss: Double? { accuracy?.loss ?? predicted?.metricLoss ?? predicted?.loss }
}

/// Loss of accuracy by unit and value, as far as it is known.
public struct SensitivityGrid: Sendable {
    public var request: SensitivityRequest
    public var units: [SensitivityUnit]
    /// `cells[unit][column]`; `nil` until known.
    public var cells: [[SensitivityCell?]]
    /// The baseline's figures, for budgets in shares of them.
    public var baseline: [AllocationMeasure: Double]

    public init(request: SensitivityRequest, units: [SensitivityUnit], cells: [[SensitivityCell?]], baseline: [AllocationMeasure: Double]) {
        self.request = request
        self.units = units
        self.cells = cells
        self.baseline = baseline
    }

    public var done: Int { cells.reduce(0) { $0 + $1.count { $0 != nil } } }
    public var total: Int { units.count * request.columnCount }
    public var isComplete: Bool { done == total }

    /// What the technique takes away most visibly: bytes of the file if it does, else of the archive, else non-zeros.
    public var naturalMeasure: AllocationMeasure {
        for measure in [AllocationMeasure.size, .packed, .macs, .nonZeros] {
            let saved = cells.joined().compactMap { $0?.saved[measure] }.max() ?? 0
            if let total = baseline[measure], saved > 0.005 * total { return measure }
        }
        return .nonZeros
    }
}

/// What a budget is counted in.
public enum AllocationMeasure: String, Sendable, CaseIterable, Codable {
    case size, packed, parameters
    case nonZeros = "non-zeros"
    case macs, latency

    /// What a model's counted figures say; nothing of latency, which is measured.
    public func value(_ figures: ModelFigures) -> Double? {
        self == .latency ? nil : measure.figure(in: figures)?.value
    }

    public var measure: Measure {
        switch self {
        case .size: .file
        case .packed: .packed
        case .parameters: .parameters
        case .nonZeros: .nonZeros
        case .macs: .macs
        case .latency: .latency
        }
    }

    public var title: String { measure.name }
}

extension TechniqueDescriptor {
    /// The parameter that says how much: the one named so, else the first if it is a number.
    public var mainParameter: String? {
        if let strength { return strength }
        guard let first = parameters.first else { return nil }
        switch first.domain {
        case .real, .integer: return first.name
        case .choice, .flag: return nil
        }
    }
}

extension ParameterDescriptor {
    /// About `count` values spread over the range, both ends included where they mean something.
    func spread(_ count: Int) -> [ParameterValue] {
        switch domain {
        case .flag: return [.flag(false), .flag(true)]
        case .choice(let choices): return choices.map { .choice($0.name) }
        case .integer(let range, let step):
            let steps = (range.upperBound - range.lowerBound) / step
            let taken = min(count, steps + 1)
            return (0..<taken).map { .integer(range.lowerBound + (taken > 1 ? $0 * steps / (taken - 1) : 0) * step) }
        case .real(let range, let step):
            let width = range.upperBound - range.lowerBound
            return (1...count).map { part in
                let raw = range.lowerBound + width * Double(part) / Double(count + 1)
                return stepped(.real(((raw / step).rounded() * step)), by: 0)
            }
        }
    }
}
