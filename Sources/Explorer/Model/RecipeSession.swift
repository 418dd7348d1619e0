import ModelGraph
import Recipes

/// What changes the recipe or its history: the part of a session that is logged and replayed.
public enum SessionAction: Hashable, Sendable {
    case edit(RecipeEdit)
    case undo
    case redo
    case jump(Int)
    case name(Int, String)
    case pin(Int, Bool)
}

/// A recipe with its history, changed only through actions. The explorer and the replay of its log share it, so that
/// the same actions at the same times give the same recipe.
public struct RecipeSession: Sendable {
    public var editor: RecipeEditor
    public private(set) var history: RecipeHistory

    public init(catalog: TechniqueCatalog, layers: [Layer] = [], recipe: Recipe = Recipe()) {
        editor = RecipeEditor(catalog: catalog, layers: layers)
        history = RecipeHistory(recipe, title: recipe.steps.isEmpty ? "baseline" : "opened recipe")
    }

    public var recipe: Recipe { history.recipe }

    /// - Returns: a few words on what was done.
    /// - Throws: `RecipeRefusal` saying why it was not.
    @discardableResult
    public mutating func perform(_ action: SessionAction, at time: Double) throws(RecipeRefusal) -> String {
        switch action {
        case .edit(let edit):
            let (recipe, title) = try editor.apply(edit, to: history.recipe)
            history.record(recipe, title: title, at: time, mergeKey: Self.mergeKey(edit))
            return title
        case .undo:
            guard let title = history.undo() else { throw RecipeRefusal("nothing to undo") }
            return "undone: \(title)"
        case .redo:
            guard let title = history.redo() else { throw RecipeRefusal("nothing to redo") }
            return "redone: \(title)"
        case .jump(let id):
            guard history.jump(to: id) else { throw RecipeRefusal("there is no state \(id)") }
            return "at: \(history.current.title)"
        case .name(let id, let name):
            history.setName(name, of: id)
            return name.isEmpty ? "name removed" : "named \(name)"
        case .pin(let id, let pinned):
            history.setPinned(pinned, id)
            return pinned ? "pinned" : "no longer pinned"
        }
    }

    /// Turning the same knob again and again is one state.
    private static func mergeKey(_ edit: RecipeEdit) -> String? {
        switch edit {
        case .set(let step, let parameter, _): "\(step.technique)#\(step.occurrence).\(parameter)"
        case .setLayer(let step, let layer, let parameter, _): "\(step.technique)#\(step.occurrence).\(parameter)@\(layer)"
        default: nil
        }
    }
}
