import CompressionEngine
import Recipes
import Techniques

/// What the recipes to be foreseen hang on.
struct ForeseenKey: Hashable, Sendable {
    var canonical: String
    var step: StepAddress?
    var parameter: String?
    var pane: Pane
}

extension ExplorerModel {
    /// Has the engine work on what the next key may ask for, whenever that changes.
    mutating func foresee() {
        let isSettled = isBaseline || (answers.evaluation.status == .settled && answers.evaluation.canonical == recipe.canonical)
        guard facts.phase == .ready, facts.isPrepared, whyNoAccuracy == nil, ui.view == .explore, isSettled, facts.baselineAccuracy?.isComplete == true else { return }
        let entry = focusedTechnique
        let key = ForeseenKey(canonical: recipe.canonical, step: entry?.step, parameter: focusedParameter?.name, pane: pane)
        guard key != answers.foreseenFor else { return }
        answers.foreseenFor = key
        effects.append(.foresee(likelyNext()))
    }

    /// Recipes that one key leads to, the likeliest first, without those whose results are known.
    func likelyNext() -> [Recipe] {
        guard let entry = focusedTechnique else { return [] }
        var edits: [RecipeEdit] = []
        let toggle: RecipeEdit? = entry.isEnabled ? .disable(entry.step) : entry.refusal == nil ? .enable(entry.step) : nil
        if entry.isEnabled, let parameter = focusedParameter {
            let value = value(of: parameter)
            for count in [1, -1, 2, -2] {
                let other = parameter.stepped(value, by: count)
                if other != value { edits.append(.set(entry.step, parameter: parameter.name, other)) }
            }
        }
        if let toggle { edits.insert(toggle, at: pane == .techniques ? 0 : min(2, edits.count)) }
        // The techniques next to the cursor.
        let entries = techniqueRows.compactMap { row in if case .technique(let entry) = row { entry } else { nil as TechniqueEntry? } }
        if let place = entries.firstIndex(where: { $0.step == entry.step }) {
            for other in [place + 1, place - 1] where entries.indices.contains(other) {
                let near = entries[other]
                if near.isEnabled { edits.append(.disable(near.step)) } else if near.refusal == nil { edits.append(.enable(near.step)) }
            }
        }
        var seen: Set<String> = [recipe.canonical]
        return edits.compactMap { edit in
            guard let next = try? session.editor.apply(edit, to: recipe).recipe, next.steps.contains(where: \.enabled), !next.learns else { return nil }
            let canonical = next.canonical
            guard seen.insert(canonical).inserted, answers.results[canonical]?.accuracy?.isComplete != true else { return nil }
            return next
        }
    }
}
