import CompressionEngine
import Recipes
import Techniques

/// A row of the techniques pane.
public enum TechniqueRow: Sendable {
    case group(TechniqueGroup, count: Int, isFolded: Bool)
    case preset(RecipePreset)
    case family(TechniqueDescriptor.Family)
    case technique(TechniqueEntry)

    /// Titles of families are passed over.
    var isSelectable: Bool { if case .family = self { false } else { true } }

    /// What the row is, whatever else changes: the cursor stays on it.
    var identity: String {
        switch self {
        case .group(let group, _, _): "group \(group.rawValue)"
        case .preset(let preset): "preset \(preset.id)"
        case .family(let family): "family \(family.rawValue)"
        case .technique(let entry): "technique \(entry.step.technique) \(entry.step.occurrence)"
        }
    }
}

/// A technique, or one of its steps when the recipe has it.
public struct TechniqueEntry: Sendable {
    public var step: StepAddress
    public var descriptor: TechniqueDescriptor
    public var isEnabled: Bool
    /// Number among the steps that are switched on, from 1.
    public var order: Int?
    /// The value of its first parameter.
    public var value: String
    /// Why it cannot be switched on.
    public var refusal: String?
}

extension ExplorerModel {
    /// Recipes that come with the program, then every technique by what it needs and by family, also those that cannot be used now. Of a folded group
    /// only what the recipe has is listed.
    public var techniqueRows: [TechniqueRow] {
        var rows: [TechniqueRow] = []
        let query = ui.filters[.techniques] ?? ""
        let presets = catalog.presets.map(\.preset).filter { query.isEmpty || TechniqueSearch.finds(query, $0) }
        if !presets.isEmpty {
            let isFolded = query.isEmpty && ui.foldedGroups.contains(.presets)
            rows.append(.group(.presets, count: presets.count, isFolded: isFolded))
            if !isFolded { rows += presets.map(TechniqueRow.preset) }
        }
        for group in TechniqueGroup.ofTechniques {
            let members = catalog.descriptors.filter { TechniqueGroup(of: $0) == group && (query.isEmpty || TechniqueSearch.finds(query, $0)) }
            guard !members.isEmpty else { continue }
            let isFolded = query.isEmpty && ui.foldedGroups.contains(group)
            rows.append(.group(group, count: members.count, isFolded: isFolded))
            for family in TechniqueDescriptor.Family.allCases {
                let entries = members.filter { $0.family == family }.flatMap { steps(of: $0) }.filter { !isFolded || $0.step.index(in: recipe) != nil }
                guard !entries.isEmpty else { continue }
                if !isFolded { rows.append(.family(family)) }
                rows += entries.map(TechniqueRow.technique)
            }
        }
        return rows
    }

    /// Where the cursor of the techniques pane is; at first on the first technique.
    var techniqueCursor: Int {
        let rows = techniqueRows
        let first = rows.firstIndex { if case .technique = $0 { true } else { false } } ?? 0
        return min(max(0, ui.lists[.techniques]?.selected ?? first), max(0, rows.count - 1))
    }

    /// Every technique, whatever is filtered or folded.
    var techniqueEntries: [TechniqueEntry] { catalog.descriptors.flatMap { steps(of: $0) } }

    private func steps(of descriptor: TechniqueDescriptor) -> [TechniqueEntry] {
        let indices = recipe.steps.indices.filter { recipe.steps[$0].technique == descriptor.id }
        if indices.isEmpty { return [entry(descriptor, StepAddress(descriptor.id), nil)] }
        return indices.map { entry(descriptor, .of($0, in: recipe), $0) }
    }

    private func entry(_ descriptor: TechniqueDescriptor, _ address: StepAddress, _ index: Int?) -> TechniqueEntry {
        let step = index.map { recipe.steps[$0] }
        let isEnabled = step?.enabled ?? false
        let order = index.flatMap { index in isEnabled ? recipe.steps[...index].count(where: \.enabled) : nil }
        var value = ""
        if let first = descriptor.parameters.first, step != nil {
            value = first.shown(step?.parameters[first.name] ?? first.defaultValue)
        }
        return TechniqueEntry(
            step: address, descriptor: descriptor, isEnabled: isEnabled, order: order, value: value,
            refusal: isEnabled ? nil : refusal(of: descriptor, step: step))
    }

    /// Why a technique cannot be switched on now; `nil` if it can.
    public func refusal(of descriptor: TechniqueDescriptor, step: RecipeStep? = nil) -> String? {
        guard let info = facts.info else { return nil }
        if info.layers.isEmpty { return "the model has no layers with weights" }
        if descriptor.calibrationNeed(step?.parameters ?? ParameterValues()) != nil {
            if info.runtimeVersion == nil || info.calibrationCount == 0 { return info.calibrationNeed }
        }
        if let refused = facts.refusals[descriptor.id], info.layers.indices.allSatisfy({ refused[$0] != nil }) {
            return Self.prevailing(info.layers.indices.compactMap { refused[$0] })
        }
        var others = recipe.steps
        if let step, let index = others.firstIndex(of: step) { others.remove(at: index) }
        if case .failure(let reason) = catalog.place(for: step ?? RecipeStep(technique: descriptor.id), in: others) {
            return reason.description
        }
        return nil
    }

    /// The reason that keeps most layers from a technique, the first of those that keep equally many.
    static func prevailing(_ reasons: [String]) -> String? {
        var counts: [String: Int] = [:]
        for reason in reasons { counts[reason, default: 0] += 1 }
        let most = counts.values.max()
        return reasons.first { counts[$0] == most }
    }

    /// The technique under the cursor of the techniques pane; it stays focused in the other panes and views. On a ready-made recipe or a title there is none
    /// in Explore, and the one that follows in other views.
    public var focusedTechnique: TechniqueEntry? {
        let rows = techniqueRows
        guard !rows.isEmpty else { return nil }
        let cursor = techniqueCursor
        if case .technique(let entry) = rows[cursor] { return entry }
        guard ui.view != .explore else { return nil }
        for case .technique(let entry) in rows[cursor...] { return entry }
        for case .technique(let entry) in rows { return entry }
        return nil
    }

    /// The ready-made recipe under the cursor.
    public var focusedPreset: RecipePreset? {
        let rows = techniqueRows
        guard ui.view == .explore, !rows.isEmpty, case .preset(let preset) = rows[techniqueCursor] else { return nil }
        return preset
    }

    /// The group whose title is under the cursor.
    public var focusedGroup: TechniqueGroup? {
        let rows = techniqueRows
        guard ui.view == .explore, !rows.isEmpty, case .group(let group, _, _) = rows[techniqueCursor] else { return nil }
        return group
    }

    /// The parameter under the cursor of the parameters pane.
    public var focusedParameter: ParameterDescriptor? {
        guard let parameters = focusedTechnique?.descriptor.parameters, !parameters.isEmpty else { return nil }
        return parameters[min(max(0, ui.lists[.parameters]?.selected ?? 0), parameters.count - 1)]
    }

    /// The step of the focused technique, if the recipe has it.
    public var focusedStep: RecipeStep? {
        guard let entry = focusedTechnique, let index = entry.step.index(in: recipe) else { return nil }
        return recipe.steps[index]
    }

    public func value(of parameter: ParameterDescriptor) -> ParameterValue {
        focusedStep?.parameters[parameter.name] ?? parameter.defaultValue
    }

    func matches(_ query: String, _ text: String) -> Bool { text.lowercased().contains(query.lowercased()) }
}
