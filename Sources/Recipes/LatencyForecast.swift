import Foundation
import Measurement
import Metrics
import Techniques

/// Predicts the latency of recipes from the baseline's own profile and from what kernels of other sizes and forms take on this machine.
///
/// The baseline's time is measured; a recipe's is that plus what changes in each layer: t(new) − t(old), where both come from the table of kernels and
/// are scaled so that t(old) is what the layer takes in the baseline's profile. Never from MACs alone. What remains wrong is learnt from whole models
/// that were timed: their residuals shift later predictions of the same kind of change and give the interval.
package struct LatencyForecast: Sendable {
    /// Measured milliseconds of the baseline.
    private let baseline: Double
    /// Milliseconds of each layer in the baseline's profile; `nil` where the profile does not name it.
    private let layers: [Double?]
    /// The layers as kernels; `nil` for those of other kinds.
    private let kernels: [Kernel?]
    /// Milliseconds in the profile that belong to no layer.
    private let rest: Double
    /// Milliseconds that each further node costs beside its kernel.
    private let nodeCost: Double
    private let conditions: LatencyConditions
    /// Of a transposition: reads and writes in no good order.
    private static let millisecondsPerMovedElement = 4e-6
    /// Of a value that goes from the runtime's blocked layout into the plain one or back.
    private static let reordering = (perElement: 0.6e-6, fixed: 0.001)
    /// How much of what belongs to no layer goes with the channels: each call costs something whatever its size.
    private static let followingShare = 0.8
    package var table: KernelTable
    package var residuals: LatencyResiduals

    /// - Parameters:
    ///   - profile: times of nodes of the baseline, by name of the layer.
    ///   - total: sum over the whole profile.
    ///   - nodes: how many nodes it has.
    package init(
        conditions: LatencyConditions = LatencyConditions(), baseline: Double, profile: [String: Double], total: Double, nodes: Int, layerIDs: [String], kernels: [Kernel?],
        table: KernelTable, residuals: LatencyResiduals = LatencyResiduals()
    ) {
        // The profiler itself takes time for each node, so that the sum may be more than the whole: shares are what it tells.
        let scale = total > 0 ? min(baseline / total, 1) : 1
        self.conditions = conditions
        self.baseline = baseline
        self.kernels = kernels
        self.table = table
        self.residuals = residuals
        layers = layerIDs.map { profile[$0].map { $0 * scale } }
        rest = max(total * scale - layers.reduce(0) { $0 + ($1 ?? 0) }, 0)
        nodeCost = min(max((baseline - total) / Double(max(nodes, 1)), 0.0005), 0.0015)
    }

    /// - Parameter initial: the layers before the recipe.
    /// - Returns: `nil` where too little is known.
    package func prediction(initial: [LayerState], states: [LayerState]) -> LatencyPrediction? {
        guard baseline > 0, states.count == layers.count else { return nil }
        let (corrected, interval) = residuals.corrected(rawRatio(initial, states), changes: Self.changes(initial, states))
        return LatencyPrediction(milliseconds: baseline * corrected, ratio: corrected, interval: interval, baseline: baseline, conditions: conditions)
    }

    /// What changed that time hangs on, in words that recipes with the same kind of change have in common; empty for models that run as the baseline does.
    package static func changes(_ initial: [LayerState], _ states: [LayerState]) -> [String] {
        var words = Set<String>()
        for (before, after) in zip(initial, states) {
            if before.form != after.form { words.insert(after.form.rawValue) }
            if after.outputsKept != 1 || after.inputsKept != 1 { words.insert("channels") }
            if after.movedElements > 0 {
                words.insert("train")
            } else if !after.links.isEmpty {
                words.insert("chain of \(after.links.count)")
            } else if after.nodes != before.nodes {
                words.insert("nodes")
            }
            if after.productMacs != 0 { words.insert("products") }
            if before.macs != after.macs, after.links.isEmpty, after.outputsKept == 1, after.inputsKept == 1 { words.insert("work") }
        }
        return words.sorted()
    }

    /// The ratio before what was learnt from whole models.
    package func rawRatio(_ initial: [LayerState], _ states: [LayerState]) -> Double {
        var time = baseline
        var (outputs, kept) = (0.0, 0.0)
        for index in states.indices {
            let (before, after) = (initial[index], states[index])
            let elements = before.outputElements ?? 0
            outputs += elements
            kept += elements * min((after.outputElements ?? elements) / max(elements, 1), 1)
            guard let known = layers[index], known > 0 else { continue }
            time += known * (factor(index, before, after) - 1) + nodeCost * Double(max(after.nodes, after.links.count, 1) - 1)
            time += after.movedElements * Self.millisecondsPerMovedElement
        }
        time += reordered(states) - reordered(initial)
        // Activations, normalization and pooling go with the channels they work on.
        if outputs > 0 { time -= rest * (1 - kept / outputs) * Self.followingShare }
        return max(time / baseline, 0.01)
    }

    /// Milliseconds of going from one layout to the other, where convolutions of the one follow those of the other.
    private func reordered(_ states: [LayerState]) -> Double {
        var (sum, wasUnblocked) = (0.0, nil as Bool?)
        for (index, state) in states.enumerated() {
            guard let kernel = kernels[index], kernel.operation == .convolution, state.form == .float, state.macs != 0 else { continue }
            for kernel in state.links.isEmpty ? [kept(kernel, state)] : state.links.map({ Self.kernel($0, like: kernel, state.form) }) {
                if let wasUnblocked, wasUnblocked != kernel.isUnblocked {
                    sum += Self.reordering.fixed + Self.reordering.perElement * Double(kernel.inputs * kernel.extents.reduce(1, *))
                }
                wasUnblocked = kernel.isUnblocked
            }
        }
        return sum
    }

    /// The kernel with the channels that are left of it, in its present form.
    private func kept(_ kernel: Kernel, _ state: LayerState) -> Kernel {
        kernel.with(
            inputs: Int((Double(kernel.inputs) * state.inputsKept).rounded()), outputs: Int((Double(kernel.outputs) * state.outputsKept).rounded()), form: state.form)
    }

    /// Milliseconds by the table, of the faster form where that is chosen.
    private func milliseconds(_ kernel: Kernel, _ state: LayerState) -> Double? {
        guard let time = table.milliseconds(kernel) else { return nil }
        guard state.staysFloatIfFaster, let float = table.milliseconds(kernel.with(form: .float)) else { return time }
        return min(time, float)
    }

    /// How many times as long a layer takes after the recipe.
    private func factor(_ index: Int, _ before: LayerState, _ after: LayerState) -> Double {
        if after.macs == 0, before.macs != 0 { return 0 }
        let work: Double = if let now = after.macs, let then = before.macs, then > 0 { pow(now / then, 0.9) } else { 1 }
        guard let kernel = kernels[index], let old = table.milliseconds(kernel) else { return work }
        let now: Double?
        if after.links.isEmpty {
            let changed = kept(kernel, after)
            // What else changes work, such as a smaller picture or an adapter.
            let explained = kernel.macs > 0 ? changed.macs / kernel.macs : 1
            let other: Double = if let now = after.macs, let then = before.macs, then > 0, explained > 0 { pow(now / then / explained, 0.9) } else { 1 }
            now = milliseconds(changed, after).map { $0 * other }
        } else {
            let times = after.links.map { milliseconds(Self.kernel($0, like: kernel, after.form), after) }
            now = times.contains { $0 == nil } ? nil : times.reduce(0) { $0 + ($1 ?? 0) }
        }
        return now.map { $0 / old } ?? work
    }

    private static func kernel(_ link: LayerLink, like kernel: Kernel, _ form: KernelForm) -> Kernel {
        let (inputs, outputs, group) = (max(Int(link.inputs), 1), max(Int(link.outputs), 1), max(Int(link.group), 1))
        guard kernel.operation == .convolution else { return Kernel(product: max(Int(link.positions), 1), inputs: inputs, outputs: outputs, form: form) }
        // A square of as many positions: the table asks for no more.
        let rank = kernel.window.count
        let side = max(Int(pow(link.positions, 1 / Double(rank)).rounded()), 1)
        return Kernel(
            convolution: [Int](repeating: side, count: rank), inputs: inputs, outputs: outputs, group: group,
            window: link.window.count == rank ? link.window : [Int](repeating: 1, count: rank), form: form)
    }
}

/// What timed models taught about predictions: by how much they were off, by the kind of change.
package struct LatencyResiduals: Sendable, Codable {
    private struct Entry: Sendable, Codable {
        /// What changed (`LatencyForecast.changes`).
        var changes: [String]
        /// Natural logarithms of the ratio as predicted, before correction, and of the measured by it.
        var predicted: Double
        var residual: Double
        /// Of the prediction that was shown: after correction.
        var shownResidual: Double
        /// Whether the same kind of change had been measured nearby.
        var wasKnown: Bool
    }

    private var entries: [Entry] = []
    /// Natural logarithms of ratios measured of models that run as the baseline does.
    private var same: [Double] = []
    private static let most = 600
    /// Share of measurements that the interval is to hold.
    private static let coverage = 0.9
    /// Half widths, as natural logarithms, until enough was measured: of models that run as the baseline does, of changes measured before, and of others.
    private static let initial = (same: 0.04, known: 0.12, new: 0.35)

    /// How far a measurement tells about others, as a natural logarithm of the predicted ratio.
    private static let reach = 0.5
    /// How much must have been measured nearby for a kind of change to count as known.
    private static let knownSupport = 0.5

    package init() {}

    package var count: Int { entries.count }

    package func corrected(_ ratio: Double, changes: [String]) -> (ratio: Double, interval: Interval) {
        guard !changes.isEmpty else {
            let half = Self.quantile(same, least: 0.03) ?? Self.initial.same
            return (1, Interval(low: exp(-half), high: exp(half)))
        }
        let place = log(ratio)
        let (shift, support) = shift(at: place, changes)
        let half = halfWidth(isKnown: support > Self.knownSupport)
        let value = place + shift
        return (exp(value), Interval(low: exp(value - half), high: exp(value + half)))
    }

    /// What nearby measurements of the same kind of change say, and how much of it there is.
    private func shift(at place: Double, _ changes: [String]) -> (shift: Double, support: Double) {
        let own = Set(changes)
        var (sum, weights) = (0.0, 0.0)
        for entry in entries {
            let others = Set(entry.changes)
            let common = Double(own.intersection(others).count) / Double(max(own.union(others).count, 1))
            guard common > 0.4 else { continue }
            let distance = (place - entry.predicted) / Self.reach
            let weight = common * exp(-distance * distance / 2)
            sum += weight * entry.residual
            weights += weight
        }
        // As if one measurement had found nothing wrong, at a third of the weight.
        return (sum / (weights + 0.33), weights)
    }

    private func halfWidth(isKnown: Bool) -> Double {
        let alike = entries.suffix(300).filter { $0.wasKnown == isKnown }.map(\.shownResidual)
        return Self.quantile(alike, least: 0.02) ?? (isKnown ? Self.initial.known : Self.initial.new)
    }

    /// The half width that holds its share of what was off before, with the correction for few measurements (split conformal); `nil` for too few.
    private static func quantile(_ residuals: [Double], least: Double) -> Double? {
        guard residuals.count >= 10 else { return nil }
        let sizes = residuals.map(abs).sorted()
        let rank = Int((Double(sizes.count + 1) * coverage).rounded(.up))
        return max(sizes[min(max(rank - 1, 0), sizes.count - 1)], least)
    }

    /// Takes in a measured ratio.
    /// - Parameter raw: the prediction before correction.
    package mutating func learn(_ measured: Double, raw: Double, changes: [String]) {
        guard measured > 0, raw > 0, measured.isFinite, raw.isFinite else { return }
        if changes.isEmpty {
            same = same.suffix(Self.most - 1) + [log(measured)]
            return
        }
        let (shift, support) = shift(at: log(raw), changes)
        entries.append(
            Entry(
                changes: changes, predicted: log(raw), residual: log(measured / raw), shownResidual: log(measured / raw) - shift,
                wasKnown: support > Self.knownSupport))
        if entries.count > Self.most { entries.removeFirst(entries.count - Self.most) }
    }
}
