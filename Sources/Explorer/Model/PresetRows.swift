import CompressionEngine
import Measurement
import Recipes

/// Ready-made recipes and what they are predicted to come to.
extension ExplorerModel {
    /// The size that a preset is predicted to shrink most, of file and archive, and by which factor; `nil` as long as that is not known, or where nothing shrinks.
    func presetGain(_ preset: RecipePreset) -> (measure: Measure, factor: Double)? {
        guard let figures = presetFigures(preset), let baseline = facts.baseline else { return nil }
        let gains = [Measure.file, .packed].compactMap { measure -> (measure: Measure, factor: Double)? in
            guard let before = measure.figure(in: baseline)?.value, let after = measure.figure(in: figures)?.value, after > 0 else { return nil }
            return (measure, before / after)
        }
        // The file is what most people ship: the archive is named where it shrinks far more.
        guard let file = gains.first, let most = gains.max(by: { $0.factor < $1.factor }) else { return nil }
        let best = file.factor > 0.7 * most.factor ? file : most
        return best.factor > 1.05 ? best : nil
    }

    func presetFigures(_ preset: RecipePreset) -> ModelFigures? { answers.presetFigures[preset.id] }

    /// What a preset is predicted to do to sizes and compute, in words.
    func presetForecast(_ preset: RecipePreset) -> [String] {
        guard let figures = presetFigures(preset), let baseline = facts.baseline else { return [] }
        return [Measure.file, .packed, .macs].compactMap { measure in
            guard let before = measure.figure(in: baseline)?.value, let after = measure.figure(in: figures)?.value else { return nil }
            let factor = measure.factorText(from: before, to: after, times: theme.glyphs.times) ?? "the same"
            return "\(measure.title): \(measure.numberFormat.text(after)), \(factor)"
        }
    }

    /// Asks what each preset comes to, one a tick, so that keys never wait for all of them.
    mutating func predictPresets() { answers.presetsToPredict = catalog.presets.map(\.recipe) }

    mutating func predictNextPreset() {
        guard !answers.presetsToPredict.isEmpty else { return }
        effects.append(.predict(answers.presetsToPredict.removeFirst()))
    }

    /// Puts a preset in the recipe's place.
    mutating func take(_ preset: RecipePreset) {
        guard let recipe = try? preset.recipe() else { return }
        if recipe.learns, facts.info?.validationCount == 0 { return notify(.warning, "\(preset.title) trains: it needs a data set") }
        act(.edit(.replace(recipe, why: "preset: \(recipe.name)")))
    }

    /// Folds a group of techniques, or unfolds it; the cursor stays on its title.
    mutating func fold(_ group: TechniqueGroup) {
        if ui.foldedGroups.remove(group) == nil { ui.foldedGroups.insert(group) }
        keepTechniqueCursor(on: "group \(group.rawValue)")
    }

    /// Moves the cursor of the techniques pane to a row that has this identity now, else to the first technique.
    mutating func keepTechniqueCursor(on identity: String?) {
        let rows = techniqueRows
        let first = rows.firstIndex { if case .technique = $0 { true } else { false } }
        select(rows.firstIndex { $0.identity == identity } ?? first ?? 0, in: .techniques)
    }
}
