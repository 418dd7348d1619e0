import TerminalCells

/// Which key does what where. Help, footer, palette, `Docs/Keys.md` and rebinding all read this one table.
public struct KeyMap: Sendable {
    public private(set) var bindings: [KeyBinding]

    public init() { bindings = Self.defaults }

    /// - Parameter overrides: keys by action name; an empty list takes an action's keys away.
    /// - Throws: `SettingsError` for unknown actions and for keys that would mean two things in one place.
    public init(overrides: [String: [String]]) throws(SettingsError) {
        bindings = Self.defaults
        for (name, texts) in overrides.sorted(by: { $0.key < $1.key }) {
            guard let action = Action(rawValue: name) else {
                throw SettingsError("keys: there is no action '\(name)'; `?` in the explorer lists them")
            }
            var keys: [Key] = []
            for text in texts {
                guard let key = Key(text) else { throw SettingsError("keys: \(name): '\(text)' is no key (write ctrl-r, shift-tab, f5, g, …)") }
                keys.append(key)
            }
            // Some actions have other keys in other panes; what the configuration file shows as the default changes none.
            if bindings.first(where: { $0.action == action })?.keys == keys { continue }
            for index in bindings.indices where bindings[index].action == action { bindings[index].keys = keys }
        }
        if let clash = firstClash() { throw SettingsError(clash) }
    }

    /// The action a key stands for in a pane: the pane's own binding before the general one.
    public func action(for key: Key, in pane: Pane) -> Action? {
        let found = bindings.first { $0.panes?.contains(pane) == true && $0.keys.contains(key) }
        return (found ?? bindings.first { $0.panes == nil && $0.keys.contains(key) })?.action
    }

    /// Bindings that hold in a pane, the pane's own first.
    public func bindings(in pane: Pane) -> [KeyBinding] {
        bindings.filter { $0.panes?.contains(pane) == true } + bindings.filter { $0.panes == nil }
    }

    /// Keys of an action that really reach it in a pane: those that a binding of the pane itself does not take.
    public func reachableKeys(of binding: KeyBinding, in pane: Pane) -> [Key] {
        binding.keys.filter { action(for: $0, in: pane) == binding.action }
    }

    /// The first binding of an action that holds in a pane, or any.
    public func binding(of action: Action, in pane: Pane) -> KeyBinding? {
        bindings(in: pane).first { $0.action == action } ?? bindings.first { $0.action == action }
    }

    /// Two bindings of equal rank that share a key in some pane.
    func firstClash() -> String? {
        for (index, a) in bindings.enumerated() {
            for b in bindings[(index + 1)...] where a.action != b.action && (a.panes == nil) == (b.panes == nil) {
                guard let key = a.keys.first(where: { b.keys.contains($0) }) else { continue }
                if let first = a.panes, let second = b.panes, first.isDisjoint(with: second) { continue }
                return "keys: '\(key)' would mean both \(a.action.rawValue) and \(b.action.rawValue)"
            }
        }
        return nil
    }
}

extension KeyMap {
    private static let knobs: Set<Pane> = [.parameters, .curve, .layerTable, .layerDetail]
    private static let lists: Set<Pane> = [.techniques, .parameters, .layerTable, .paretoList, .historyTree, .jobList, .exportForm]

    static let defaults: [KeyBinding] = [
        // Panes' own keys.
        KeyBinding(.toggle, "switch the technique on or off", hint: "on/off", .recipe, keys: "space enter", in: [.techniques]),
        KeyBinding(.toggle, "switch the technique on or off", hint: "on/off", .recipe, keys: "space", in: [.parameters, .curve]),
        KeyBinding(.toggle, "include or exclude the layer", hint: "in/out", .recipe, keys: "space", in: [.layerTable, .layerDetail]),
        KeyBinding(.toggle, "switch the field on or off", hint: "on/off", .recipe, keys: "space", in: [.exportForm]),
        KeyBinding(.decrease, "one step down", hint: "less", .recipe, keys: "left h", in: knobs),
        KeyBinding(.increase, "one step up", hint: "more", .recipe, keys: "right l", in: knobs),
        KeyBinding(.decreaseMuch, "ten steps down", .recipe, keys: "( shift-left", in: knobs),
        KeyBinding(.increaseMuch, "ten steps up", .recipe, keys: ") shift-right", in: knobs),
        KeyBinding(.type, "type the value", hint: "type", .recipe, keys: "= enter", in: knobs),
        KeyBinding(.reset, "back to the default", hint: "default", .recipe, keys: "r 0", in: [.parameters, .curve]),
        KeyBinding(.reset, "same as the step", hint: "same as step", .recipe, keys: "r 0", in: [.layerTable, .layerDetail]),
        KeyBinding(.moveEarlier, "move the step earlier", hint: "earlier", .recipe, keys: "K", in: [.techniques, .parameters]),
        KeyBinding(.moveLater, "move the step later", hint: "later", .recipe, keys: "J", in: [.techniques, .parameters]),
        KeyBinding(.removeStep, "remove the step and its values", .recipe, keys: "D delete", in: [.techniques, .parameters]),
        KeyBinding(.previousTechnique, "previous technique", .recipe, keys: "[", in: [.layerTable, .layerDetail, .layerHeat, .parameters, .curve]),
        KeyBinding(.nextTechnique, "next technique", hint: "technique", .recipe, keys: "]", in: [.layerTable, .layerDetail, .layerHeat, .parameters, .curve]),
        KeyBinding(.previousParameter, "previous parameter", .recipe, keys: "{", in: [.layerTable, .layerDetail, .curve]),
        KeyBinding(.nextParameter, "next parameter", hint: "parameter", .recipe, keys: "}", in: [.layerTable, .layerDetail, .curve]),
        KeyBinding(.sortNext, "sort by the next column", hint: "sort", .moving, keys: "s >", in: [.layerTable, .paretoList]),
        KeyBinding(.sortPrevious, "sort by the previous column", .moving, keys: "<", in: [.layerTable, .paretoList]),
        KeyBinding(.sortReverse, "reverse the order", hint: "reverse", .moving, keys: "S", in: [.layerTable, .paretoList]),
        KeyBinding(
            .analyzeSensitivity, "measure each layer's sensitivity to the technique", hint: "sensitivity", .measuring, keys: "a",
            in: [.layerTable, .layerDetail, .layerHeat]),
        KeyBinding(
            .allocate, "give each layer its own value, to a budget", hint: "allocate", .recipe, keys: "A", in: [.layerTable, .layerDetail, .layerHeat]),
        KeyBinding(.applyCell, "give the layer this value", hint: "set", .recipe, keys: "enter =", in: [.layerHeat]),
        KeyBinding(.histogramLeft, "move the histogram's cursor left", .moving, keys: ",", in: [.layerTable, .layerDetail]),
        KeyBinding(.histogramRight, "move the histogram's cursor right", hint: "read histogram", .moving, keys: ".", in: [.layerTable, .layerDetail]),
        KeyBinding(
            .curveMeasure, "next measure of the what-if curve or the map", hint: "curve", .measuring, keys: "w", in: [.techniques, .parameters, .figures, .curve, .layerHeat]),
        KeyBinding(.curveOverlay, "second measure over the what-if curve", .measuring, keys: "W", in: [.techniques, .parameters, .figures, .curve]),
        KeyBinding(.axisX, "next measure on the x axis", hint: "x axis", .measuring, keys: "x", in: [.scatter, .paretoPlot, .paretoList, .paretoDetail]),
        KeyBinding(.axisY, "next measure on the y axis", hint: "y axis", .measuring, keys: "y", in: [.scatter, .paretoPlot, .paretoList, .paretoDetail]),
        KeyBinding(.restore, "use the trial's recipe", hint: "restore", .recipe, keys: "enter", in: [.scatter, .paretoPlot, .paretoList, .paretoDetail]),
        KeyBinding(.pin, "pin or unpin the trial", hint: "pin", .measuring, keys: "p", in: [.paretoPlot, .paretoList, .paretoDetail]),
        KeyBinding(.restore, "go to the state", hint: "go to", .recipe, keys: "enter", in: [.historyTree, .historyDiff]),
        KeyBinding(.pin, "pin or unpin the state", hint: "pin", .measuring, keys: "p", in: [.historyTree, .historyDiff]),
        KeyBinding(.rename, "name the state", hint: "name", .recipe, keys: "r", in: [.historyTree, .historyDiff]),
        KeyBinding(.markDifference, "mark or unmark the state to compare", hint: "mark", .measuring, keys: "d", in: [.historyTree, .historyDiff]),
        KeyBinding(.cancelJob, "cancel the job", hint: "cancel", .program, keys: "c delete", in: [.jobList, .jobDetail]),
        KeyBinding(.pauseJob, "pause or resume the training or search", hint: "pause", .program, keys: "space", in: [.jobList, .jobDetail]),
        KeyBinding(.finishJob, "end the training or search now, keeping the best", hint: "finish", .program, keys: "f", in: [.jobList, .jobDetail]),
        KeyBinding(.copyDetail, "copy the job's details", hint: "copy", .program, keys: "y enter", in: [.jobList, .jobDetail]),
        KeyBinding(.type, "edit the field", hint: "edit", .recipe, keys: "enter =", in: [.exportForm]),
        KeyBinding(.startExport, "write the files", hint: "write", .recipe, keys: "w", in: [.exportForm, .exportSummary]),
        // Everywhere: recipe.
        KeyBinding(.undo, "undo", hint: "undo", .recipe, keys: "u"),
        KeyBinding(.redo, "redo", hint: "redo", .recipe, keys: "ctrl-r"),
        KeyBinding(.clearRecipe, "start again from the baseline", .recipe, keys: ""),
        KeyBinding(.resumeSession, "take up the last session of this model", .recipe, keys: ""),
        // Everywhere: measuring.
        KeyBinding(.measureLatency, "measure latency now", hint: "time", .measuring, keys: "L T f5"),
        KeyBinding(.evaluate, "evaluate the recipe again", .measuring, keys: "E"),
        KeyBinding(.train, "train the recipe", hint: "train", .measuring, keys: "R"),
        KeyBinding(.previewRecovery, "short trial training", .measuring, keys: "v"),
        KeyBinding(.pin, "pin or unpin the current state", .measuring, keys: "p"),
        KeyBinding(.compare, "compare with the pinned state instead of the baseline", hint: "compare", .measuring, keys: "b"),
        KeyBinding(
            .classChanges, "which classes or samples the recipe hurts, worst first", hint: "classes", .measuring, keys: "c",
            in: [.techniques, .parameters, .figures, .curve, .scatter]),
        KeyBinding(.search, "search for the recipe that meets a goal", hint: "search", .measuring, keys: "F"),
        KeyBinding(.target, "state a target (size, drop, latency) that stays on screen", hint: "target", .measuring, keys: "o"),
        KeyBinding(.takeRescue, "take the recipe that a search has found, or that is suggested", .measuring, keys: "i"),
        // Everywhere: moving.
        KeyBinding(.viewExplore, "Explore: techniques, figures, curve", .moving, keys: "1"),
        KeyBinding(.viewLayers, "Layers: table, own values, histogram", .moving, keys: "2"),
        KeyBinding(.viewPareto, "Pareto: every trial and the front", .moving, keys: "3"),
        KeyBinding(.viewHistory, "History: undo tree and differences", .moving, keys: "4"),
        KeyBinding(.viewJobs, "Jobs: progress, results, errors", .moving, keys: "5"),
        KeyBinding(.viewExport, "Export: model, recipe, report", .moving, keys: "6"),
        KeyBinding(.nextPane, "next pane", hint: "pane", .moving, keys: "tab"),
        KeyBinding(.previousPane, "previous pane", .moving, keys: "shift-tab"),
        KeyBinding(.zoom, "zoom the pane", hint: "zoom", .moving, keys: "z"),
        KeyBinding(.up, "up", .moving, keys: "up k"),
        KeyBinding(.down, "down", .moving, keys: "down j"),
        KeyBinding(.left, "left", .moving, keys: "left h"),
        KeyBinding(.right, "right", .moving, keys: "right l"),
        KeyBinding(.first, "to the first", .moving, keys: "g home"),
        KeyBinding(.last, "to the last", .moving, keys: "G end"),
        KeyBinding(.pageUp, "a page up", .moving, keys: "pageup ctrl-b"),
        KeyBinding(.pageDown, "a page down", .moving, keys: "pagedown ctrl-f"),
        KeyBinding(.halfPageUp, "half a page up", .moving, keys: "ctrl-u"),
        KeyBinding(.halfPageDown, "half a page down", .moving, keys: "ctrl-d"),
        KeyBinding(.filter, "filter the list", hint: "filter", .moving, keys: "/"),
        KeyBinding(.nextMatch, "next match", .moving, keys: "n"),
        KeyBinding(.previousMatch, "previous match", .moving, keys: "N"),
        // Everywhere: program.
        KeyBinding(.help, "help for this pane", hint: "help", .program, keys: "? f1"),
        KeyBinding(.palette, "command palette", hint: "commands", .program, keys: ":"),
        KeyBinding(.copyCommand, "show and copy the equivalent command", .program, keys: "y Y"),
        KeyBinding(.messages, "message log", .program, keys: "! e"),
        KeyBinding(.cycleGlyphs, "next glyph tier (braille, block, ASCII)", .program, keys: "t"),
        KeyBinding(.cycleColors, "next color tier", .program, keys: "C"),
        KeyBinding(.toggleMouse, "mouse on or off", .program, keys: "m"),
        KeyBinding(.back, "one level back", .program, keys: "esc"),
        KeyBinding(.suspend, "suspend to the shell", .program, keys: "ctrl-z"),
        KeyBinding(.interrupt, "cancel what is running; otherwise quit", .program, keys: "ctrl-c"),
        KeyBinding(.quit, "quit", hint: "quit", .program, keys: "q"),
    ]
}
