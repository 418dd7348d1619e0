import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Synchronization
import Techniques
import Training

/// Predicts what each layer (or group of coupled layers) loses when a technique works on it alone, for all layers and all values of the technique's parameter
/// from one pass of gradients.
///
/// The loss is the divergence of the outputs from what they were, whose first derivative is 0. To second order a change ΔW of weights costs
/// ½·ΔWᵀ·G·ΔW with the Gauss–Newton matrix G (LeCun, Denker and Solla 1990, *Optimal Brain Damage*, of its diagonal; Hassibi and Stork 1993 and Dong et al. 2020,
/// HAWQ-V2, of the whole; Li et al. 2021, BRECQ, of blocks). G is never written down: `CurvatureProbes` gives random vectors g with the mean g·gᵀ = G, so the
/// prediction is half the mean of (g·ΔW)². It sees how inputs and weights go together, which a diagonal does not.
///
/// It knows the change of weights, not that of activations: where a technique rounds these, or changes shapes, cells have a problem instead of a number.
public struct GradientSensitivity {
    private let session: EngineSession
    private let cancellation: Cancellation

    /// Samples behind the gradients, by default.
    public static let samples = 128
    /// Bytes of changes of weights held at once.
    private static let budget = 512 << 20

    public init(_ session: EngineSession, cancellation: Cancellation = Cancellation()) {
        self.session = session
        self.cancellation = cancellation
    }

    /// A grid with a prediction in every cell, or why there is none. Nothing is measured and nothing stored.
    /// - Parameters:
    ///   - samples: of the calibration split, or of the validation split where there is no other.
    ///   - packed: whether to predict sizes in the packed archive too, which takes longer than all else of small models.
    ///   - update: called with the grid before it is filled and after.
    /// - Throws: `EngineError`: no data or runtime, a technique that applies to no layer, a model that no gradient goes through, cancellation.
    public func run(
        _ request: SensitivityRequest, samples: Int = GradientSensitivity.samples, packed: Bool = true, update: (SensitivityGrid) -> Void = { _ in }
    ) throws -> SensitivityGrid {
        guard session.validation != nil else { throw EngineError(.data, "sensitivity needs a data set: give one with --data") }
        let library = try session.opened.requiredRuntime()
        guard let set = [session.opened.calibration, session.opened.validation].lazy.compactMap({ $0 }).first(where: { $0.count > 0 && !$0.isSequence }) else {
            throw EngineError(.data, "gradients need single samples, and these are sequences: measure instead")
        }
        let units = try SensitivityAnalysis.units(request, session, cancellation)
        let shapes = (try? session.shapes(of: session.model, cancellation: cancellation))?.dims ?? [:]
        let reader = WeightChanges(original: session.model, layers: session.layers, library: library, shapes: shapes)
        let wanted = Set(units.flatMap { $0.layers.flatMap(reader.tensors) })
        guard !wanted.isEmpty else { throw EngineError(.technique, "no gradient reaches a weight that \(request.step.technique) changes") }
        let (session, cancellation) = (session, cancellation)
        let (predictor, probes) = try Parallel.both(
            { try session.predictor(slowSizes: packed, cancellation: cancellation) },
            { try CurvatureProbes(session.model, weights: wanted, samples: set, limit: samples, library: library, cancellation: cancellation) })
        var grid = SensitivityGrid(
            request: request, units: units, cells: units.map { _ in .init(repeating: nil, count: request.columnCount) },
            baseline: AllocationMeasure.values(predictor.baseline))
        update(grid)
        let middle = request.columnCount / 2
        let together = try together(middle, request, units, reader)
        var pending: [Cell] = []
        func flush() throws {
            for (cell, prediction) in zip(pending, try predictions(pending, probes)) { grid.cells[cell.unit][cell.column]?.predicted = prediction }
            pending = []
        }
        for column in 0..<request.columnCount {
            let found = try column == middle && together != nil ? together ?? [] : changes(column, request, units, reader, atOnce: together != nil)
            for (unit, change) in found.enumerated() {
                var cell = SensitivityCell()
                switch change {
                case .problem(let reason): cell.problem = reason
                case .tensors(let tensors) where tensors.isEmpty: cell.problem = SensitivityAnalysis.nothingToChange
                case .tensors(let tensors):
                    if let missing = tensors.keys.sorted().first(where: { !probes.weights.contains($0) }) {
                        cell.problem = "no gradient reaches '\(missing)'" + (probes.notes.first.map { ": \($0)" } ?? "")
                    } else {
                        cell.saved = SensitivityAnalysis.saved(request.recipe(column, layers: units[unit].layers, of: session.layers), predictor, grid.baseline)
                        pending.append(Cell(unit: unit, column: column, tensors: tensors))
                    }
                }
                grid.cells[unit][column] = cell
            }
            let bytes = pending.reduce(0) { $0 + $1.tensors.values.reduce(0) { $0 + $1.count * MemoryLayout<Float>.size } }
            if bytes > Self.budget { try flush() }
        }
        try flush()
        update(grid)
        return grid
    }

    /// Predicted losses by unit and column, larger for what costs more; `nil` where there is no prediction. As `run`.
    public func ranked(_ request: SensitivityRequest, samples: Int = GradientSensitivity.samples) throws -> [[Double?]] {
        try run(request, samples: samples, packed: false).cells.map { $0.map { $0?.predicted?.loss } }
    }

    // MARK: - Changes of weights

    /// A change of the weights of one unit.
    private struct Cell: Sendable {
        var unit: Int
        var column: Int
        var tensors: [String: [Float]]
    }

    /// What a column does to each unit.
    private func changes(
        _ column: Int, _ request: SensitivityRequest, _ units: [SensitivityUnit], _ reader: WeightChanges, atOnce: Bool
    ) throws -> [WeightChanges.Change] {
        guard atOnce else { return try units.map { try alone(column, request, $0, reader) } }
        let positions = units.flatMap(\.layers)
        let recipe = Self.independent(request.recipe(column, layers: positions, of: session.layers))
        do {
            let applied = try session.apply(recipe, cancellation: cancellation)
            let found = try reader.changes(in: applied.model, of: positions, cancellation: cancellation)
            return units.map { Self.merged($0.layers.compactMap { found[$0] }) }
        } catch let error as EngineError where error.kind != .cancelled {
            // What does not go for all at once may go for some.
            return try units.map { try alone(column, request, $0, reader) }
        }
    }

    private func alone(_ column: Int, _ request: SensitivityRequest, _ unit: SensitivityUnit, _ reader: WeightChanges) throws -> WeightChanges.Change {
        do {
            let applied = try session.apply(request.recipe(column, layers: unit.layers, of: session.layers), cancellation: cancellation)
            let found = try reader.changes(in: applied.model, of: unit.layers, cancellation: cancellation)
            return Self.merged(unit.layers.compactMap { found[$0] })
        } catch let error as EngineError where error.kind != .cancelled {
            return .problem(error.message)
        }
    }

    /// Of layers that share a weight each tensor once.
    private static func merged(_ changes: [WeightChanges.Change]) -> WeightChanges.Change {
        var all: [String: [Float]] = [:]
        for change in changes {
            switch change {
            case .problem: return change
            case .tensors(let tensors): all.merge(tensors) { first, _ in first }
            }
        }
        return .tensors(all)
    }

    /// The recipe with each layer on its own: pruning by one threshold for all of them, or by inputs that layers before have changed, is not what happens to
    /// a layer alone.
    private static func independent(_ recipe: Recipe) -> Recipe {
        var recipe = recipe
        for index in recipe.steps.indices {
            let parameters = TechniqueRegistry.technique(recipe.steps[index].technique)?.descriptor.parameters ?? []
            for (name, value) in [("scope", "layer"), ("inputs", "original")] {
                guard case .choice(let choices) = parameters.first(where: { $0.name == name })?.domain, choices.contains(where: { $0.name == value }) else { continue }
                recipe.steps[index].parameters[name] = .choice(value)
            }
        }
        return recipe
    }

    /// What one rewrite of all units does to each, if it is what it does to a unit alone: tried on the last, which feels what is done to those before it.
    private func together(
        _ column: Int, _ request: SensitivityRequest, _ units: [SensitivityUnit], _ reader: WeightChanges
    ) throws -> [WeightChanges.Change]? {
        guard units.count > 1, request.columnCount > 1, let last = units.last else { return nil }
        guard case .tensors(let own) = try alone(column, request, last, reader) else { return nil }
        let all = try changes(column, request, units, reader, atOnce: true)
        guard case .tensors(let together)? = all.last, own.keys == together.keys else { return nil }
        for (name, difference) in own {
            guard let other = together[name], other.count == difference.count else { return nil }
            var (apart, whole) = (0.0, 0.0)
            for (a, b) in zip(difference, other) {
                apart += Double((a - b) * (a - b))
                whole += Double(a * a)
            }
            // As far as the order of sums may lead.
            if apart > 1e-6 * whole { return nil }
        }
        return all
    }

    // MARK: - Products

    private func predictions(_ cells: [Cell], _ probes: CurvatureProbes) throws -> [LossPrediction] {
        guard !cells.isEmpty else { return [] }
        let place = Dictionary(uniqueKeysWithValues: probes.weights.enumerated().map { ($1, $0) })
        let products = Mutex([[Double]](repeating: .init(repeating: 0, count: probes.count), count: cells.count))
        try probes.forEach(cancellation: cancellation) { number, gradients in
            let found = cells.map { cell -> Double in
                // In a fixed order, so that the sum is the same each time.
                cell.tensors.sorted { $0.key < $1.key }.reduce(0) { sum, entry in place[entry.key].map { sum + Self.dot(gradients[$0], entry.value) } ?? sum }
            }
            products.withLock { products in for (index, value) in found.enumerated() { products[index][number] = value } }
        }
        return products.withLock { $0 }.map { LossPrediction(products: $0, batch: probes.batch) }
    }

    /// Eight sums side by side, which the processor adds at once.
    private static func dot(_ a: UnsafeBufferPointer<Float>, _ b: [Float]) -> Double {
        let count = min(a.count, b.count)
        return b.withUnsafeBufferPointer { b in
            guard let left = a.baseAddress.map({ UnsafeRawPointer($0) }), let right = b.baseAddress.map({ UnsafeRawPointer($0) }) else { return 0 }
            var (first, second) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
            let whole = count / 16 * 16
            for index in stride(from: 0, to: whole * 4, by: 64) {
                first += left.loadUnaligned(fromByteOffset: index, as: SIMD8<Float>.self) * right.loadUnaligned(fromByteOffset: index, as: SIMD8<Float>.self)
                second += left.loadUnaligned(fromByteOffset: index + 32, as: SIMD8<Float>.self) * right.loadUnaligned(fromByteOffset: index + 32, as: SIMD8<Float>.self)
            }
            var total = Double((first + second).sum())
            for index in whole..<count { total += Double(a[index] * b[index]) }
            return total
        }
    }
}
