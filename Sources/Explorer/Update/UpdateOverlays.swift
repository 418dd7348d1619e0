import Techniques
import TerminalCells

extension ExplorerModel {
    /// Takes a key in: the overlay's, if there is one, else whatever the key map says.
    mutating func handle(_ key: Key) {
        if key == Key(.character("c"), .control) { return interruptOrClose() }
        // Escape and a key typed right behind it arrive as Alt and the key: nothing is bound to those by default.
        if case .character = key.code, key.modifiers.contains(.alt), ui.overlay != nil || keyMap.action(for: key, in: pane) == nil {
            handle(Key(.escape))
            return handle(Key(key.code, key.modifiers.subtracting(.alt)))
        }
        switch ui.overlay {
        case .help(var list, let pane):
            switch key.description {
            case "esc": list.field.text.isEmpty ? close() : clear(&list) { .help($0, pane: pane) }
            case "enter":
                let bindings = helpBindings(for: pane)
                if let index = list.selectedCommand, bindings.indices.contains(index) {
                    ui.overlay = nil
                    perform(bindings[index].action)
                }
            default:
                if list.handle(key, visible: overlayRows) { ui.overlay = .help(list, pane: pane) }
            }
        case .palette(let list, let entries): handlePalette(key, list, entries)
        case .entry(let entry): handleEntry(key, entry)
        case .messages(let state): handleMessages(key, state)
        case .text(let box): handleText(key, box)
        case .confirm(let confirmation): handleConfirmation(key, confirmation)
        case nil:
            if let action = keyMap.action(for: key, in: pane) { perform(action) }
        }
    }

    /// Rows an overlay's list has, for its page keys.
    var overlayRows: Int { max(1, size.height - 10) }

    private mutating func interruptOrClose() {
        if ui.overlay != nil, !isBusy { ui.overlay = nil } else { perform(.interrupt) }
    }

    private mutating func close() { ui.overlay = nil }

    private mutating func clear(_ list: inout CommandList, _ wrap: (CommandList) -> Overlay) {
        list.field.set("")
        list.state = ListState()
        ui.overlay = wrap(list)
    }

    mutating func paste(_ text: String) {
        switch ui.overlay {
        case .entry(var entry):
            entry.field.insert(text)
            ui.overlay = .entry(entry)
            entryChanged()
        case .palette(var list, _):
            list.field.insert(text)
            refreshPalette(list)
        case .help(var list, let pane):
            list.field.insert(text)
            ui.overlay = .help(list, pane: pane)
        default: break
        }
    }

    // MARK: - Help

    /// What help lists for a pane: only what a key or a name can do there, the pane's own first.
    public func helpBindings(for pane: Pane) -> [KeyBinding] {
        keyMap.bindings(in: pane).filter { binding in
            binding.panes != nil || binding.keys.isEmpty || !keyMap.reachableKeys(of: binding, in: pane).isEmpty
        }
    }

    mutating func openHelp() {
        let commands = helpBindings(for: pane).map { binding in
            Command(binding.title, keys: keyLabels(binding, in: pane), group: binding.panes == nil ? binding.group.rawValue : "")
        }
        ui.overlay = .help(CommandList(commands: commands, field: TextField(prompt: "/", placeholder: "type to filter")), pane: pane)
    }

    /// The keys that reach a binding, as people read them.
    public func keyLabels(_ binding: KeyBinding, in pane: Pane) -> String {
        keyMap.reachableKeys(of: binding, in: pane).map { KeyBinding.label($0, tier: theme.glyphTier) }.joined(separator: " ")
    }

    // MARK: - A line being typed

    mutating func openFilter() {
        let pane = listPane
        let before = ui.filters[pane] ?? ""
        ui.overlay = .entry(Entry(purpose: .filter(pane, before: before), field: TextField(before, prompt: "/", placeholder: "filter \(pane.title.lowercased())")))
    }

    private mutating func handleEntry(_ key: Key, _ entry: Entry) {
        var entry = entry
        switch key.description {
        case "esc":
            ui.overlay = nil
            if case .filter(let pane, let before) = entry.purpose { setFilter(before, pane) }
        case "enter": accept(entry)
        case "up", "down":
            // While filtering, the list can already be walked.
            if case .filter = entry.purpose { moveSelection(by: key.code == .up ? -1 : 1) }
            guard [.search, .target].contains(entry.purpose) else { return }
            let choices = goalChoices.map(\.text)
            let step = key.code == .up ? -1 : 1
            let next = choices.firstIndex(of: entry.field.text).map { ($0 + step + choices.count) % choices.count } ?? (step < 0 ? choices.count - 1 : 0)
            entry.field.set(choices[next])
            (entry.stem, entry.field.error) = (nil, nil)
            ui.overlay = .entry(entry)
        case "tab":
            guard [.search, .target].contains(entry.purpose), let found = Self.completedGoal(entry.field.text, after: entry.stem, metric: facts.info?.metric ?? .top1) else {
                return
            }
            entry.field.set(found.text)
            (entry.stem, entry.field.error) = (found.stem, nil)
            ui.overlay = .entry(entry)
        default:
            guard entry.field.handle(key) else { return }
            (entry.field.error, entry.stem) = (nil, nil)
            ui.overlay = .entry(entry)
            entryChanged()
        }
    }

    /// Filters follow every letter; numbers are checked as they are typed.
    private mutating func entryChanged() {
        guard case .entry(var entry) = ui.overlay else { return }
        if case .filter(let pane, _) = entry.purpose { return setFilter(entry.field.text, pane) }
        guard let parameter = parameter(of: entry.purpose), !entry.field.text.isEmpty else { return }
        do {
            _ = try parse(entry.field.text, for: parameter)
            entry.field.error = nil
        } catch {
            entry.field.error = parameter.expectation
        }
        ui.overlay = .entry(entry)
    }

    private func parameter(of purpose: Entry.Purpose) -> ParameterDescriptor? {
        switch purpose {
        case .parameter(let step, let name), .layerParameter(let step, _, let name): catalog[step.technique]?.parameter(name)
        default: nil
        }
    }

    mutating func setFilter(_ text: String, _ pane: Pane) {
        let before = identity(inListOf: pane)
        ui.filters[pane] = text.isEmpty ? nil : text
        keepCursor(on: before, inListOf: pane)
        traceCurve()
    }

    /// What the cursor of a list is on, by what does not change with a filter.
    private func identity(inListOf pane: Pane) -> String? {
        switch pane {
        case .techniques:
            let rows = techniqueRows
            return rows.isEmpty ? nil : rows[techniqueCursor].identity
        case .layerTable: return selectedLayer?.layer.id
        case .historyTree: return "\(selectedState)"
        case .jobList: return selectedJob.map { "\($0.source)" }
        default: return nil
        }
    }

    /// Puts a list's cursor on an item where it stands now, or on the first if it is gone.
    private mutating func keepCursor(on identity: String?, inListOf pane: Pane) {
        let place: Int?
        switch pane {
        case .techniques: return keepTechniqueCursor(on: identity)
        case .layerTable: place = layerRows.firstIndex { $0.layer.id == identity }
        case .historyTree: place = historyLines.firstIndex { "\($0.id)" == identity }
        case .jobList: place = jobRows.firstIndex { "\($0.source)" == identity }
        default: place = nil
        }
        ui.lists[pane] = ListState()
        select(place ?? 0, in: pane)
    }

    private mutating func accept(_ entry: Entry) {
        var entry = entry
        let text = entry.field.text
        switch entry.purpose {
        case .filter: ui.overlay = nil
        case .allocation:
            guard !text.isEmpty else {
                ui.overlay = nil
                return
            }
            guard let goal = Self.allocationGoal(text, metric: metric) else {
                entry.field.error = "expected a share like 50% or a loss like 0.5pt"
                ui.overlay = .entry(entry)
                return
            }
            ui.overlay = nil
            allocate(goal)
        case .search:
            ui.overlay = nil
            guard !text.isEmpty, let problem = search(text) else { return }
            entry.field.error = problem
            ui.overlay = .entry(entry)
        case .target:
            ui.overlay = nil
            guard let problem = setTarget(text) else { return }
            entry.field.error = problem
            ui.overlay = .entry(entry)
        case .name(let state):
            ui.overlay = nil
            act(.name(state, text.trimmingCharacters(" ")))
        case .exportField(let field):
            ui.overlay = nil
            if field == .folder { ui.export.folder = text } else { ui.export.name = text }
        case .parameter(let step, let name):
            guard !text.isEmpty, let parameter = catalog[step.technique]?.parameter(name) else {
                ui.overlay = nil
                return
            }
            do {
                let value = try parse(text, for: parameter)
                ui.overlay = nil
                if let technique = focusedTechnique, technique.step == step {
                    set(technique, parameter, to: value)
                } else {
                    act(.edit(.set(step, parameter: name, value)), quietly: true)
                }
            } catch {
                entry.field.error = parameter.expectation
                ui.overlay = .entry(entry)
            }
        case .layerParameter(let step, let layer, let name):
            guard !text.isEmpty, let parameter = catalog[step.technique]?.parameter(name) else {
                ui.overlay = nil
                return
            }
            do {
                let value = try parse(text, for: parameter)
                ui.overlay = nil
                act(.edit(.setLayer(step, layer: layer, parameter: name, value)), quietly: true)
            } catch {
                entry.field.error = parameter.expectation
                ui.overlay = .entry(entry)
            }
        }
    }

    // MARK: - Messages, text, questions

    private mutating func handleMessages(_ key: Key, _ state: ListState) {
        var state = state
        switch key.description {
        case "esc", "q", "!", "e": ui.overlay = nil
        case "y", "enter":
            if let index = state.selected, feed.messages.indices.contains(index) { effects.append(.copy(feed.messages[index].text)) }
        default:
            if state.handle(key, count: feed.messages.count, visible: overlayRows) { ui.overlay = .messages(state) }
        }
    }

    private mutating func handleText(_ key: Key, _ box: TextBox) {
        var box = box
        switch key.description {
        case "esc", "q", "enter": ui.overlay = nil
        case "y": effects.append(.copy(box.text))
        case "j", "down": box.offset = min(box.offset + 1, max(0, box.lines.count - 1))
        case "k", "up": box.offset = max(0, box.offset - 1)
        default: break
        }
        if ui.overlay != nil { ui.overlay = .text(box) }
    }

    private mutating func handleConfirmation(_ key: Key, _ confirmation: Confirmation) {
        var confirmation = confirmation
        switch key.description {
        case "esc", "q", "n": ui.overlay = nil
        case "left", "h", "right", "l", "tab", "shift-tab":
            confirmation.selected = (confirmation.selected + 1) % confirmation.buttons.count
            ui.overlay = .confirm(confirmation)
        case "y": answer(confirmation, 1)
        case "enter": answer(confirmation, confirmation.selected)
        default: break
        }
    }

    mutating func answer(_ confirmation: Confirmation, _ button: Int) {
        ui.overlay = nil
        switch confirmation.subject {
        case .overwrite: if button == 1 { writeExport(overwrite: true) } else { notify(.info, "nothing was written") }
        case .quit: if button == 1 { effects.append(.quit) }
        }
    }
}
