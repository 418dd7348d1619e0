import Measurement
import Recipes
import Techniques
import TerminalCells

/// What an entry of the palette does.
public enum PaletteEntry: Sendable, Hashable {
    case action(Action)
    case toggle(StepAddress)
    /// Moves to the knob and begins to type.
    case knob(StepAddress, String)
    /// `set NAME VALUE`, typed out.
    case set(StepAddress, String, ParameterValue)
    case sort(LayerColumn)
    case axis(Measure, isX: Bool)
    /// Measures latency under other conditions.
    case conditions(LatencyConditions)
    /// Takes a recipe that comes with the program.
    case preset(String)
    case unusable
}

extension ExplorerModel {
    /// Nobody opens the palette to quit by Enter: what it is for comes first, what ends the session last.
    private static let paletteOrder: [Action] = {
        let first: [Action] = [.search, .target, .train, .measureLatency, .pin, .copyCommand, .viewExport]
        let last: [Action] = [.suspend, .quit]
        return first + Action.allCases.filter { !first.contains($0) && !last.contains($0) && $0 != .interrupt } + last
    }()

    mutating func openPalette() {
        refreshPalette(CommandList(commands: [], field: TextField(prompt: ":", placeholder: "name of an action, or: set NAME VALUE")))
    }

    /// The list follows what is typed: `set NAME VALUE` becomes an entry of its own.
    mutating func refreshPalette(_ list: CommandList) {
        var list = list
        var commands: [Command] = []
        var entries: [PaletteEntry] = []
        func add(_ command: Command, _ entry: PaletteEntry) {
            commands.append(command)
            entries.append(entry)
        }
        if let typed = typedSetting(list.field.text) { add(typed.command, typed.entry) }
        for action in Self.paletteOrder {
            guard let binding = keyMap.binding(of: action, in: pane) else { continue }
            let isHere = binding.holds(in: pane)
            add(
                Command(
                    binding.title, keys: isHere ? keyLabels(binding, in: pane) : "", group: action.rawValue,
                    disabledReason: isHere ? nil : "in \(binding.panes.map { places in Pane.allCases.first { places.contains($0) }?.title ?? "" } ?? "")"),
                isHere ? .action(action) : .unusable)
        }
        for entry in techniqueEntries {
            add(
                Command("\(entry.isEnabled ? "switch off" : "switch on") \(entry.descriptor.title)", group: entry.descriptor.id, disabledReason: entry.refusal),
                entry.refusal == nil ? .toggle(entry.step) : .unusable)
            for parameter in entry.descriptor.parameters {
                let value = entry.step.index(in: recipe).flatMap { recipe.steps[$0].parameters[parameter.name] } ?? parameter.defaultValue
                add(
                    Command("set \(entry.descriptor.id).\(parameter.name)", keys: value.text, group: parameter.title),
                    .knob(entry.step, parameter.name))
            }
        }
        for preset in RecipePreset.all { add(Command("preset: \(preset.title)", group: "preset \(preset.id)"), .preset(preset.id)) }
        for threads in LatencyConditions.threadCounts(cores: cores) where threads != answers.conditions.threads {
            let conditions = LatencyConditions(batch: answers.conditions.batch, threads: threads)
            add(Command("latency with \(threads) thread\(threads == 1 ? "" : "s")", keys: "now \(answers.conditions.threads)", group: "threads"), .conditions(conditions))
        }
        for batch in LatencyConditions.batches where batch != answers.conditions.batch {
            let conditions = LatencyConditions(batch: batch, threads: answers.conditions.threads)
            add(Command("latency with batch \(batch)", keys: "now \(answers.conditions.batch)", group: "batch"), .conditions(conditions))
        }
        for column in LayerColumn.allCases { add(Command("sort layers by \(column.title)", group: "sort \(column.rawValue)"), .sort(column)) }
        for measure in trialMeasures {
            let id = measure.metric == nil ? measure.id : Measure.accuracyID
            add(Command("x axis: \(measure.title)", group: "axis x \(id)"), .axis(measure, isX: true))
            add(Command("y axis: \(measure.title)", group: "axis y \(id)"), .axis(measure, isX: false))
        }
        list.commands = commands
        ui.overlay = .palette(list, entries)
    }

    mutating func handlePalette(_ key: Key, _ list: CommandList, _ entries: [PaletteEntry]) {
        var list = list
        switch key.description {
        case "esc": ui.overlay = nil
        case "enter":
            guard let index = list.selectedCommand, entries.indices.contains(index) else { return }
            if let reason = list.commands[index].disabledReason { return notify(.warning, reason) }
            ui.overlay = nil
            run(entries[index])
        default:
            guard list.handle(key, visible: overlayRows) else { return }
            let state = list.state
            refreshPalette(list)
            if case .palette(var refreshed, let entries) = ui.overlay {
                refreshed.state = state
                ui.overlay = .palette(refreshed, entries)
            }
        }
    }

    private mutating func run(_ entry: PaletteEntry) {
        switch entry {
        case .action(let action): perform(action)
        case .toggle(let step):
            focusTechnique(step)
            ui.view = .explore
            ui.focus[.explore] = .techniques
            toggle()
        case .knob(let step, let name):
            focusTechnique(step, parameter: name)
            ui.view = .explore
            ui.focus[.explore] = .parameters
            startTyping()
        case .set(let step, let name, let value):
            focusTechnique(step, parameter: name)
            act(.edit(.set(step, parameter: name, value)))
        case .sort(let column):
            ui.view = .layers
            sortLayers(by: column)
        case .axis(let measure, let isX):
            board.areAxesChosen = true
            if isX { board.axes.x = measure } else { board.axes.y = measure }
        case .conditions(let conditions): setConditions(conditions)
        case .preset(let id):
            if let preset = RecipePreset.all.first(where: { $0.id == id }) { take(preset) }
        case .unusable: break
        }
        traceCurve()
    }

    mutating func focusTechnique(_ step: StepAddress, parameter name: String? = nil) {
        ui.filters[.techniques] = nil
        if let descriptor = catalog[step.technique] { ui.foldedGroups.remove(TechniqueGroup(of: descriptor)) }
        keepTechniqueCursor(on: "technique \(step.technique) \(step.occurrence)")
        if let name, let number = catalog[step.technique]?.parameters.firstIndex(where: { $0.name == name }) {
            ui.lists[.parameters] = ListState(selected: number)
        }
    }

    /// `set sparsity 0.8`, `set magnitude-pruning.sparsity 80%`, `magnitude-pruning.sparsity=0.8`.
    private func typedSetting(_ text: String) -> (command: Command, entry: PaletteEntry)? {
        let words = text.split(whereSeparator: { $0 == " " || $0 == "=" }).map(String.init)
        let arguments = words.first == "set" ? Array(words.dropFirst()) : words
        guard arguments.count == 2, words.first == "set" || text.contains("=") else { return nil }
        guard let (step, parameter) = knob(named: arguments[0]) else {
            return (Command(text, disabledReason: "there is no parameter '\(arguments[0])'"), .unusable)
        }
        do {
            let value = try parse(arguments[1], for: parameter)
            return (Command(text, group: "\(catalog.title(step.technique)): \(parameter.title) \(parameter.shown(value))"), .set(step, parameter.name, value))
        } catch {
            return (Command(text, disabledReason: "expected \(parameter.expectation)"), .unusable)
        }
    }

    /// A parameter by `technique.parameter` or by its own name: the focused technique's first, then those in the recipe,
    /// then any.
    private func knob(named name: String) -> (StepAddress, ParameterDescriptor)? {
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        if parts.count == 2 {
            guard let parameter = catalog[parts[0]]?.parameter(parts[1]) else { return nil }
            return (StepAddress(parts[0]), parameter)
        }
        var order: [StepAddress] = focusedTechnique.map { [$0.step] } ?? []
        order += recipe.steps.indices.filter { recipe.steps[$0].enabled }.map { .of($0, in: recipe) }
        order += catalog.descriptors.map { StepAddress($0.id) }
        for step in order {
            if let parameter = catalog[step.technique]?.parameter(name) { return (step, parameter) }
        }
        return nil
    }
}
