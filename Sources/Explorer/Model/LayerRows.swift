import CompressionEngine
import Measurement
import ModelGraph
import Techniques

/// A layer of the baseline beside what became of it.
public struct LayerRow: Sendable {
    public var position: Int
    public var layer: Layer
    public var baseline: LayerFigures?
    public var now: LayerFigures?
    /// The focused parameter's value for this layer.
    public var own: OwnValue
    /// Milliseconds, where the profiler knew the node.
    public var milliseconds: Double?
    /// The same in the baseline.
    public var baselineMilliseconds: Double?

    /// Whether the layer takes longer than in the baseline, by more than timing is off.
    public var isSlower: Bool {
        guard let milliseconds, let baselineMilliseconds else { return false }
        return milliseconds > baselineMilliseconds * 1.1 && milliseconds > baselineMilliseconds + 0.005
    }

    public enum OwnValue: Sendable, Hashable {
        /// The technique is not in the recipe: the value it would have.
        case off(String)
        case asStep(String)
        case own(String)
        case excluded
        case refused(String)
    }
}

extension ExplorerModel {
    /// The layers that pass the filter, in the table's order.
    public var layerRows: [LayerRow] {
        guard let info = facts.info else { return [] }
        let query = ui.filters[.layerTable] ?? ""
        let baselineByID = Dictionary((facts.baseline?.layers ?? []).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let figures = figuresNow
        let nowByID = Dictionary((figures?.layers ?? []).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let times = Self.withLinks((result?.operators ?? []).byLayer, info.layers)
        let before = answers.baselineOperators.byLayer
        let own = ownValues
        var rows = info.layers.enumerated().map { position, layer in
            LayerRow(
                position: position, layer: layer, baseline: baselineByID[layer.id], now: nowByID[layer.id], own: own[position],
                milliseconds: nowByID[layer.id]?.milliseconds ?? times[layer.id], baselineMilliseconds: before[layer.id])
        }
        if !query.isEmpty { rows = rows.filter { matches(query, $0.layer.id) || matches(query, $0.layer.opType) || matches(query, $0.layer.kind.rawValue) } }
        let column = ui.layerSort.column
        // Positions break ties, so that the order never jumps.
        rows.sort { a, b in
            switch Self.compare(a, b, by: column) {
            case 0: a.position < b.position
            case let order: (order < 0) != ui.layerSort.isDescending
            }
        }
        return rows
    }

    /// Times of layers that became several, each named after the one it came from, are those of their parts together.
    private static func withLinks(_ times: [String: Double], _ layers: [Layer]) -> [String: Double] {
        let known = Set(layers.map(\.id))
        var result = times
        for (id, time) in times where !known.contains(id) {
            guard let cut = id.lastIndex(of: "/") else { continue }
            let whole = String(id[..<cut])
            if known.contains(whole), times[whole] == nil { result[whole, default: 0] += time }
        }
        return result
    }

    private static func compare(_ a: LayerRow, _ b: LayerRow, by column: LayerColumn) -> Int {
        func order<T: Comparable>(_ x: T, _ y: T) -> Int { x < y ? -1 : (x > y ? 1 : 0) }
        /// Unknown numbers come last in ascending order.
        func number(_ row: LayerRow) -> Double {
            let figures = row.now ?? row.baseline
            let value: Double? =
                switch column {
                case .parameters: figures?.parameters
                case .sparsity: figures?.sparsity
                case .bits: figures?.weightBits
                case .file: figures?.serializedBytes
                case .packed: figures?.packedBytes
                case .macs: figures?.macs
                case .time: row.milliseconds
                default: Double(row.position)
                }
            return value ?? .infinity
        }
        return switch column {
        case .name: order(a.layer.id, b.layer.id)
        case .op: order(a.layer.opType, b.layer.opType)
        case .shape: order(a.layer.weightShape.description, b.layer.weightShape.description)
        case .own: order(a.own.sortText, b.own.sortText)
        default: order(number(a), number(b))
        }
    }

    /// The focused parameter's value for every layer.
    private var ownValues: [LayerRow.OwnValue] {
        guard let info = facts.info, let entry = focusedTechnique, let parameter = focusedParameter else {
            return Array(repeating: .off(""), count: facts.info?.layers.count ?? 0)
        }
        let refused = facts.refusals[entry.descriptor.id] ?? [:]
        guard let step = focusedStep else {
            return info.layers.indices.map { refused[$0].map(LayerRow.OwnValue.refused) ?? .off(parameter.shown(parameter.defaultValue)) }
        }
        let common = step.parameters[parameter.name] ?? parameter.defaultValue
        return info.layers.enumerated().map { position, layer in
            if let reason = refused[position] { return .refused(reason) }
            guard step.layers.matches(layer, position: position) else { return .excluded }
            let override = step.overrides.last { $0.parameters[parameter.name] != nil && $0.layers.matches(layer, position: position) }
            if let value = override?.parameters[parameter.name] { return .own(parameter.shown(value)) }
            return step.enabled ? .asStep(parameter.shown(common)) : .off(parameter.shown(common))
        }
    }

    public var selectedLayer: LayerRow? {
        let rows = layerRows
        guard !rows.isEmpty else { return nil }
        return rows[min(max(0, ui.lists[.layerTable]?.selected ?? 0), rows.count - 1)]
    }

    /// The focused parameter's value for a layer, overrides included.
    public func value(of parameter: ParameterDescriptor, layer position: Int) -> ParameterValue {
        guard let info = facts.info, let step = focusedStep, info.layers.indices.contains(position) else { return value(of: parameter) }
        let layer = info.layers[position]
        let override = step.overrides.last { $0.parameters[parameter.name] != nil && $0.layers.matches(layer, position: position) }
        return override?.parameters[parameter.name] ?? value(of: parameter)
    }
}

extension LayerRow.OwnValue {
    fileprivate var sortText: String {
        switch self {
        case .own(let text): "0" + text
        case .asStep(let text): "1" + text
        case .off(let text): "2" + text
        case .excluded: "3"
        case .refused(let reason): "4" + reason
        }
    }
}
