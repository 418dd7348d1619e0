import Techniques
import TerminalCells

extension ExplorerModel {
    /// Takes a key in: the overlay's, if there is one, else whatever the key map says.
    mutating func handle(_ key: Key) {
        if key == Key(.character("c"), .control) { return interruptOrClose() }
        // Escape and a key typed right behind it arrive as Alt and the key: nothing is bound to those by default.
        if case .character = key.code, key.modifiers.contains(.alt), overlay != nil || keyMap.action(for: key, in: pane) == nil {
            handle(Key(.escape))
            return handle(Key(key.code, key.modifiers.subtracting(.alt)))
        }
        switch overlay {
        case .help(var list, let pane):
            switch key.description {
            case "esc": list.field.text.isEmpty ? close() : clear(&list) { .help($0, pane: pane) }
            case "enter":
                let bindings = helpBindings(for: pane)
                if let index = list.selectedCommand, bindings.indices.contains(index) {
                    overlay = nil
                    perform(bindings[index].action)
                }
            default:
                if list.handle(key, visible: overlayRows) { overlay = .help(list, pane: pane) }
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
        if overlay != nil, !isBusy { overlay = nil } else { perform(.interrupt) }
    }

    private mutating func close() { overlay = nil }

    private mutating func clear(_ list: inout CommandList, _ wrap: (CommandList) -> Overlay) {
        list.field.set("")
        list.state = ListState()
        overlay = wrap(list)
    }

    mutating func paste(_ text: String) {
        switch overlay {
        case .entry(var entry):
            entry.field.insert(text)
            overlay = .entry(entry)
            entryChanged()
        case .palette(var list, _):
            list.field.insert(text)
            refreshPalette(list)
        case .help(var list, let pane):
            list.field.insert(text)
            overlay = .help(list, pane: pane)
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
        overlay = .help(CommandList(commands: commands, field: TextField(prompt: "/", placeholder: "type to filter")), pane: pane)
    }

    /// The keys that reach a binding, as people read them.
    public func keyLabels(_ binding: KeyBinding, in pane: Pane) -> String {
        keyMap.reachableKeys(of: binding, in: pane).map { KeyBinding.label($0, tier: theme.glyphTier) }.joined(separator: " ")
    }

    // MARK: - A line being typed

    mutating func openFilter() {
        let pane = listPane
        let before = filters[pane] ?? ""
        overlay = .entry(Entry(purpose: .filter(pane, before: before), field: TextField(before, prompt: "/", placeholder: "filter \(pane.title.lowercased())")))
    }

    private mutating func handleEntry(_ key: Key, _ entry: Entry) {
        var entry = entry
        switch key.description {
        case "esc":
            overlay = nil
            if case .filter(let pane, let before) = entry.purpose { setFilter(before, pane) }
        case "enter": accept(entry)
        case "up", "down":
            // While filtering, the list can already be walked.
            if case .filter = entry.purpose { moveSelection(by: key.code == .up ? -1 : 1) }
        default:
            guard entry.field.handle(key) else { return }
            entry.field.error = nil
            overlay = .entry(entry)
            entryChanged()
        }
    }

    /// Filters follow every letter; numbers are checked as they are typed.
    private mutating func entryChanged() {
        guard case .entry(var entry) = overlay else { return }
        if case .filter(let pane, _) = entry.purpose { return setFilter(entry.field.text, pane) }
        guard let parameter = parameter(of: entry.purpose), !entry.field.text.isEmpty else { return }
        do {
            _ = try parse(entry.field.text, for: parameter)
            entry.field.error = nil
        } catch {
            entry.field.error = parameter.expectation
        }
        overlay = .entry(entry)
    }

    private func parameter(of purpose: Entry.Purpose) -> ParameterDescriptor? {
        switch purpose {
        case .parameter(let step, let name), .layerParameter(let step, _, let name): catalog[step.technique]?.parameter(name)
        default: nil
        }
    }

    mutating func setFilter(_ text: String, _ pane: Pane) {
        filters[pane] = text.isEmpty ? nil : text
        if pane == .techniques {
            select(1, in: .techniques)
        } else {
            lists[pane] = ListState()
        }
        traceCurve()
    }

    private mutating func accept(_ entry: Entry) {
        var entry = entry
        let text = entry.field.text
        switch entry.purpose {
        case .filter: overlay = nil
        case .allocation:
            guard !text.isEmpty else {
                overlay = nil
                return
            }
            guard let goal = Self.allocationGoal(text, metric: metric) else {
                entry.field.error = "expected a share like 50% or a loss like 0.5pt"
                overlay = .entry(entry)
                return
            }
            overlay = nil
            allocate(goal)
        case .name(let state):
            overlay = nil
            act(.name(state, text.trimmingCharacters(" ")))
        case .exportField(let field):
            overlay = nil
            if field == .folder { export.folder = text } else { export.name = text }
        case .parameter(let step, let name):
            guard !text.isEmpty, let parameter = catalog[step.technique]?.parameter(name) else {
                overlay = nil
                return
            }
            do {
                let value = try parse(text, for: parameter)
                overlay = nil
                if let technique = focusedTechnique, technique.step == step {
                    set(technique, parameter, to: value)
                } else {
                    act(.edit(.set(step, parameter: name, value)), quietly: true)
                }
            } catch {
                entry.field.error = parameter.expectation
                overlay = .entry(entry)
            }
        case .layerParameter(let step, let layer, let name):
            guard !text.isEmpty, let parameter = catalog[step.technique]?.parameter(name) else {
                overlay = nil
                return
            }
            do {
                let value = try parse(text, for: parameter)
                overlay = nil
                act(.edit(.setLayer(step, layer: layer, parameter: name, value)), quietly: true)
            } catch {
                entry.field.error = parameter.expectation
                overlay = .entry(entry)
            }
        }
    }

    // MARK: - Messages, text, questions

    private mutating func handleMessages(_ key: Key, _ state: ListState) {
        var state = state
        switch key.description {
        case "esc", "q", "!", "e": overlay = nil
        case "y", "enter":
            if let index = state.selected, messages.indices.contains(index) { effects.append(.copy(messages[index].text)) }
        default:
            if state.handle(key, count: messages.count, visible: overlayRows) { overlay = .messages(state) }
        }
    }

    private mutating func handleText(_ key: Key, _ box: TextBox) {
        var box = box
        switch key.description {
        case "esc", "q", "enter": overlay = nil
        case "y": effects.append(.copy(box.text))
        case "j", "down": box.offset = min(box.offset + 1, max(0, box.lines.count - 1))
        case "k", "up": box.offset = max(0, box.offset - 1)
        default: break
        }
        if overlay != nil { overlay = .text(box) }
    }

    private mutating func handleConfirmation(_ key: Key, _ confirmation: Confirmation) {
        var confirmation = confirmation
        switch key.description {
        case "esc", "q", "n": overlay = nil
        case "left", "h", "right", "l", "tab", "shift-tab":
            confirmation.selected = (confirmation.selected + 1) % confirmation.buttons.count
            overlay = .confirm(confirmation)
        case "y": answer(confirmation, 1)
        case "enter": answer(confirmation, confirmation.selected)
        default: break
        }
    }

    mutating func answer(_ confirmation: Confirmation, _ button: Int) {
        overlay = nil
        guard button == 1 else { return notify(.info, "nothing was written") }
        switch confirmation.subject {
        case .overwrite: writeExport(overwrite: true)
        }
    }
}
