import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// Gives every layer its own value of a parameter, or its own technique too, so that a budget is met at the least loss of accuracy that
/// the sensitivities predict.
///
/// Losses of single layers are added up, which is an approximation: layers changed together may lose more or less. So a
/// budget of accuracy is searched with measurements of whole models. Every unit's points (what it takes away, what it
/// loses) are first made monotone by isotonic regression, since losses are known with noise only, and cut down to their
/// lower convex hull; walking along all hulls in order of loss per unit saved gives recipes from mild to strong, each
/// optimal for its own saving (Lagrange multipliers; Shoham and Gersho, "Efficient bit allocation for an arbitrary set
/// of quantizers", 1988).
public struct Allocation: Sendable {
    /// Recipes from nothing at all to everything at its strongest.
    public let path: [Point]
    public let measure: AllocationMeasure

    public struct Point: Sendable {
        /// Column by unit, counted through all grids; `nil` leaves the unit alone.
        public var columns: [Int?]
        /// The measure after it, predicted.
        public var value: Double
        /// Sum of the units' losses, 0…1, predicted.
        public var loss: Double
    }

    /// How latency is measured, if that is the measure.
    var conditions: LatencyConditions { requests[0].latency ?? LatencyConditions() }

    private let requests: [SensitivityRequest]
    private let units: [SensitivityUnit]

    /// - Throws: `EngineError` if the measure is not known for this model, or no cell has a number.
    public init(_ grid: SensitivityGrid, measure: AllocationMeasure) throws(EngineError) { try self.init([grid], measure: measure) }

    /// Gives every layer the technique that costs least as well: one of the grids'.
    /// - Parameter grids: of the same units, one for each technique, in the order in which their steps are to stand.
    /// - Throws: `EngineError` if units differ, the measure is not known for this model, or no cell has a number.
    public init(_ grids: [SensitivityGrid], measure: AllocationMeasure) throws(EngineError) {
        guard let first = grids.first, grids.allSatisfy({ $0.units.map(\.layers) == first.units.map(\.layers) }) else {
            throw EngineError(.technique, "the techniques work on other groups of layers")
        }
        guard let total = first.baseline[measure] else { throw EngineError(.data, "the model's \(measure.title) is not known") }
        self.measure = measure
        requests = grids.map(\.request)
        units = first.units
        var steps: [(unit: Int, column: Int, saved: Double, lost: Double, slope: Double)] = []
        for unit in units.indices {
            var last = (saved: 0.0, loss: 0.0)
            for point in Self.hull(grids.map { $0.cells[unit] }, measure) {
                let (saved, lost) = (point.saved - last.saved, point.loss - last.loss)
                steps.append((unit, point.column, saved, lost, lost / saved))
                last = (point.saved, point.loss)
            }
        }
        guard !steps.isEmpty else { throw EngineError(.technique, "\(requests[0].step.technique) saves no \(measure.title) in any layer") }
        // Slopes rise along each unit's hull, so the order keeps its points in order.
        steps.sort { ($0.slope, $0.unit, $0.saved) < ($1.slope, $1.unit, $1.saved) }
        var point = Point(columns: .init(repeating: nil, count: units.count), value: total, loss: 0)
        var path = [point]
        for step in steps {
            point.columns[step.unit] = step.column
            point.value -= step.saved
            point.loss += step.lost
            path.append(point)
        }
        self.path = path
    }

    private typealias Choice = (column: Int, saved: Double, loss: Double)

    /// Points of a unit that are worth choosing, by what they save, the least first.
    /// - Parameter cells: of each technique.
    private static func hull(_ cells: [[SensitivityCell?]], _ measure: AllocationMeasure) -> [Choice] {
        var points: [Choice] = []
        var first = 0
        for cells in cells {
            points += monotone(cells, measure).map { ($0.column + first, $0.saved, $0.loss) }
            first += cells.count
        }
        points.sort { ($0.saved, $0.loss, $0.column) < ($1.saved, $1.loss, $1.column) }
        var hull: [Choice] = [(-1, 0, 0)]
        for point in points where point.saved > hull[hull.count - 1].saved {
            while hull.count > 1 {
                let (a, b) = (hull[hull.count - 2], hull[hull.count - 1])
                guard (b.loss - a.loss) * (point.saved - b.saved) >= (point.loss - b.loss) * (b.saved - a.saved) else { break }
                hull.removeLast()
            }
            hull.append(point)
        }
        return Array(hull.dropFirst())
    }

    /// Position in `path` of the mildest recipe that meets a budget; the strongest there is if none does.
    /// - Parameter value: of the measure, at most.
    public func position(within value: Double) -> Int { path.firstIndex { $0.value <= value } ?? path.count - 1 }

    /// Of one technique what saves more loses more, whatever noise says: isotonic regression, pools of neighbors with their mean, merged while they fall.
    private static func monotone(_ cells: [SensitivityCell?], _ measure: AllocationMeasure) -> [Choice] {
        var points = cells.enumerated().compactMap { column, cell -> Choice? in
            guard let loss = cell?.loss, let saved = cell?.saved[measure], saved > 0 else { return nil }
            return (column, saved, max(loss, 0))
        }.sorted { $0.saved < $1.saved }
        var pools: [(sum: Double, count: Int)] = []
        for point in points {
            pools.append((point.loss, 1))
            while pools.count > 1, pools[pools.count - 2].sum / Double(pools[pools.count - 2].count) > pools[pools.count - 1].sum / Double(pools[pools.count - 1].count) {
                let last = pools.removeLast()
                pools[pools.count - 1].sum += last.sum
                pools[pools.count - 1].count += last.count
            }
        }
        var position = 0
        for pool in pools {
            for _ in 0..<pool.count {
                points[position].loss = pool.sum / Double(pool.count)
                position += 1
            }
        }
        return points
    }

    /// The recipe of a point.
    public func recipe(at position: Int, of layers: [Layer]) -> Recipe {
        var first = 0
        var steps: [RecipeStep] = []
        for request in requests {
            let columns = first..<first + request.columnCount
            first = columns.upperBound
            steps += step(request, columns: path[position].columns.map { $0.flatMap { columns.contains($0) ? $0 - columns.lowerBound : nil } }, of: layers)
        }
        return Recipe(steps: steps)
    }

    /// The step of one technique, with the values that its layers have.
    private func step(_ request: SensitivityRequest, columns: [Int?], of layers: [Layer]) -> [RecipeStep] {
        var step = request.step
        step.overrides = []
        step.enabled = true
        var names: [Int: [LayerPattern]] = [:]
        for (unit, column) in columns.enumerated() {
            guard let column else { continue }
            names[column, default: []] += units[unit].layers.map { LayerPattern.exactly($0, in: layers) }
        }
        guard !names.isEmpty else { return [] }
        step.layers = LayerSelector(include: names.sorted { $0.key < $1.key }.flatMap(\.value))
        guard let parameter = request.parameter else { return [step] }
        // The value that most layers have stands in the step, the others' in overrides.
        let common = names.max { ($0.value.count, -$0.key) < ($1.value.count, -$1.key) }?.key ?? 0
        step.parameters[parameter] = request.values[common]
        step.overrides = names.filter { $0.key != common }.sorted { $0.key < $1.key }.map { column, patterns in
            LayerOverride(layers: LayerSelector(include: patterns), parameters: ParameterValues([parameter: request.values[column]]))
        }
        return [step]
    }
}

extension EngineSession {
    /// A recipe that an allocation found, measured as a whole.
    public struct Allocated: Sendable {
        public var recipe: Recipe
        public var point: Allocation.Point
        public var accuracy: AccuracyEstimate
        public var applied: AppliedModel
        /// Whether the budget is met by measurement.
        public var isMet: Bool
        /// The measure of the whole model, counted or measured, where the budget is one of it.
        public var value: Double?
    }

    /// The measure of a model: counted, or of latency measured against the baseline.
    private func value(of model: Model, _ allocation: Allocation, _ cancellation: Cancellation) throws -> Double {
        guard allocation.measure == .latency else {
            return allocation.measure.value(try figures(of: model, slowSizes: allocation.measure == .packed, cancellation: cancellation)) ?? .infinity
        }
        let conditions = allocation.conditions
        let latency = try latency(of: model, batch: conditions.batch, threads: conditions.threads, seconds: 1, operators: false, cancellation: cancellation).0
        return latency.ratio * (allocation.path.first?.value ?? latency.baseline)
    }

    /// The mildest recipe whose measure is at most `value`, by measurement where the measure can be counted.
    public func allocate(_ allocation: Allocation, within value: Double, limit: Int? = nil, cancellation: Cancellation = Cancellation()) throws -> Allocated {
        var position = allocation.position(within: value)
        while true {
            let made = try measured(allocation, position, limit, cancellation)
            let found = try self.value(of: made.applied.model, allocation, cancellation)
            let met = found <= value
            if met || position == allocation.path.count - 1 {
                var result = made
                result.isMet = met
                result.value = found
                return result
            }
            position += 1
        }
    }

    /// The strongest recipe that loses at most `drop` (0…1) of accuracy, found by bisection with measurements.
    /// - Parameter update: after each measurement.
    public func allocate(
        _ allocation: Allocation, maximumDrop drop: Double, limit: Int? = nil, cancellation: Cancellation = Cancellation(),
        update: (Allocated) -> Void = { _ in }
    ) throws -> Allocated {
        func measure(_ position: Int) throws -> Allocated {
            var made = try measured(allocation, position, limit, cancellation)
            made.isMet = (made.accuracy.loss ?? .infinity) <= drop + 1e-12
            update(made)
            return made
        }
        // The sum of losses is a first guess; the path's ends bound the search.
        var low = 0
        var high = allocation.path.count
        var best: Allocated?
        var next = allocation.path.lastIndex { $0.loss <= drop } ?? 0
        while low < high {
            let made = try measure(next)
            if made.isMet {
                best = made
                low = next + 1
            } else {
                high = next
            }
            next = low + (high - low) / 2
        }
        return try best ?? measure(0)
    }

    private func measured(_ allocation: Allocation, _ position: Int, _ limit: Int?, _ cancellation: Cancellation) throws -> Allocated {
        let recipe = allocation.recipe(at: position, of: layers)
        let applied = try apply(recipe, cancellation: cancellation)
        let accuracy = try evaluate(applied.model, limit: limit, cancellation: cancellation)
        return Allocated(recipe: recipe, point: allocation.path[position], accuracy: accuracy, applied: applied, isMet: false)
    }
}
