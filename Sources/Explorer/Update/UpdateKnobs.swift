import CompressionEngine
import EngineSupport
import ModelGraph
import Recipes
import Techniques
import TerminalCells

extension ExplorerModel {
    /// Space: switches what is under the cursor.
    mutating func toggle() {
        switch pane {
        case .layerTable, .layerDetail: toggleLayer()
        case .exportForm:
            if exportField == .archive { ui.export.includeArchive.toggle() }
        default:
            if let preset = focusedPreset { return take(preset) }
            if let group = focusedGroup { return fold(group) }
            guard let entry = focusedTechnique else { return }
            if entry.isEnabled {
                act(.edit(.disable(entry.step)), quietly: true)
            } else if let reason = refusal(of: entry.descriptor, step: focusedStep) {
                notify(.warning, "\(entry.descriptor.title): \(reason)")
            } else {
                // Only worth a word when it did not land at the end.
                let steps = recipe.steps.count
                act(.edit(.enable(entry.step)), quietly: entry.step.index(in: recipe).map { $0 == steps - 1 } ?? false)
            }
        }
    }

    private mutating func toggleLayer() {
        guard let entry = focusedTechnique, let row = selectedLayer else { return }
        switch row.own {
        case .refused(let reason): notify(.warning, "\(row.layer.id): \(reason)")
        case .excluded: act(.edit(.includeLayer(entry.step, layer: row.layer.id, true)), quietly: true)
        default: act(.edit(.includeLayer(entry.step, layer: row.layer.id, false)), quietly: true)
        }
    }

    /// Turns the focused knob by so many steps, for all layers or for the selected one.
    mutating func step(by count: Int) {
        guard let entry = focusedTechnique, let parameter = focusedParameter else { return }
        // Wrapping round ten times is no big step: choices and flags go one by one.
        let isNumber: Bool
        switch parameter.domain {
        case .real, .integer: isNumber = true
        case .choice, .flag: isNumber = false
        }
        let count = isNumber ? count : count.signum()
        if pane.view == .layers {
            guard let row = selectedLayer else { return }
            if case .refused(let reason) = row.own { return notify(.warning, "\(row.layer.id): \(reason)") }
            let old = value(of: parameter, layer: row.position)
            let new = parameter.stepped(old, by: count)
            guard new != old else { return atEnd(parameter, old) }
            return act(.edit(.setLayer(entry.step, layer: row.layer.id, parameter: parameter.name, new)), quietly: true)
        }
        let old = value(of: parameter)
        let new = parameter.stepped(old, by: count)
        guard new != old else { return atEnd(parameter, old) }
        set(entry, parameter, to: new)
    }

    private mutating func atEnd(_ parameter: ParameterDescriptor, _ value: ParameterValue) {
        notify(.info, "\(parameter.title): \(parameter.shown(value)) is the end of the range")
    }

    mutating func set(_ entry: TechniqueEntry, _ parameter: ParameterDescriptor, to value: ParameterValue) {
        let wasInRecipe = entry.step.index(in: recipe) != nil
        act(.edit(.set(entry.step, parameter: parameter.name, value)), quietly: true)
        if !entry.isEnabled, !wasInRecipe { notify(.info, "\(entry.descriptor.title) is off: Space switches it on") }
    }

    mutating func reset() {
        guard let entry = focusedTechnique, let parameter = focusedParameter else { return }
        if pane.view == .layers {
            guard let row = selectedLayer, entry.step.index(in: recipe) != nil else { return }
            act(.edit(.resetLayer(entry.step, layer: row.layer.id)), quietly: true)
        } else if entry.step.index(in: recipe) != nil {
            act(.edit(.reset(entry.step, parameter: parameter.name)), quietly: true)
        }
    }

    mutating func moveStep(_ entry: TechniqueEntry, by count: Int) {
        guard entry.step.index(in: recipe) != nil else { return notify(.warning, "\(entry.descriptor.title) is not in the recipe") }
        act(.edit(.move(entry.step, by: count)))
    }

    // MARK: - Typing

    mutating func startTyping() {
        if pane == .exportForm { return editExportField() }
        guard let entry = focusedTechnique, let parameter = focusedParameter else { return }
        switch parameter.domain {
        case .flag, .choice: return step(by: 1)
        case .real, .integer: break
        }
        if pane.view == .layers {
            guard let row = selectedLayer else { return }
            if case .refused(let reason) = row.own { return notify(.warning, "\(row.layer.id): \(reason)") }
            let field = TextField("", prompt: "\(row.layer.id) \(parameter.title) = ", placeholder: parameter.expectation)
            ui.overlay = .entry(Entry(purpose: .layerParameter(entry.step, layer: row.layer.id, parameter.name), field: field))
        } else {
            let field = TextField("", prompt: "\(parameter.title) = ", placeholder: "\(parameter.expectation); now \(value(of: parameter).text)")
            ui.overlay = .entry(Entry(purpose: .parameter(entry.step, parameter.name), field: field))
        }
    }

    /// A typed value: as the parameter reads it, or a percentage for fractions.
    func parse(_ text: String, for parameter: ParameterDescriptor) throws(EngineError) -> ParameterValue {
        let text = text.trimmingCharacters(" ")
        if case .real(let range, _) = parameter.domain, text.hasSuffix("%"), range.upperBound <= 1,
            let percent = Double(text.dropLast().trimmingCharacters(" "))
        {
            return try parameter.parse(ParameterValue.real(percent / 100).text)
        }
        // Through its text once, so that the log and the recipe file hold exactly this value.
        return try parameter.parse(try parameter.parse(text).text)
    }

    // MARK: - Export

    var exportField: ExportForm.Field {
        ExportForm.Field.allCases[min(max(0, ui.lists[.exportForm]?.selected ?? 0), ExportForm.Field.allCases.count - 1)]
    }

    private mutating func editExportField() {
        switch exportField {
        case .folder: ui.overlay = .entry(Entry(purpose: .exportField(.folder), field: TextField(ui.export.folder, prompt: "folder: ")))
        case .name: ui.overlay = .entry(Entry(purpose: .exportField(.name), field: TextField(ui.export.name, prompt: "name: ")))
        case .archive: ui.export.includeArchive.toggle()
        case .write: startExport()
        }
    }

    mutating func startExport() {
        guard facts.phase == .ready else { return }
        if ui.export.name.isEmpty || ui.export.name.contains("/") { return notify(.warning, "'\(ui.export.name)' is no file name") }
        if let problem = result?.problem { return notify(.warning, "the recipe does not work: \(problem)") }
        effects.append(.checkFiles(ui.export.files.map(\.path)))
    }

    /// Files of these names exist: replacing them destroys something, so it is asked.
    mutating func confirmOverwrite(_ paths: [String]) {
        guard !paths.isEmpty else { return writeExport(overwrite: false) }
        ui.overlay = .confirm(
            Confirmation(
                subject: .overwrite, title: "Replace existing files?", text: paths.joined(separator: "\n"), buttons: ["Cancel", "Replace"], selected: 0))
    }

    mutating func writeExport(overwrite: Bool) {
        tasks.lastJob += 1
        let request = ExportRequest(folder: ui.export.folder, name: ui.export.name, includeArchive: ui.export.includeArchive, overwrite: overwrite)
        tasks.jobs.append(
            Job(
                update: JobUpdate(
                    id: tasks.lastJob, title: "Export \(ui.export.name)", phase: "waiting", fraction: nil, elapsedSeconds: 0, remainingSeconds: nil, state: .waiting)))
        effects.append(.export(recipe, request, job: tasks.lastJob))
        notify(.info, "export started; 5 shows its progress")
    }
}

extension StringProtocol {
    func trimmingCharacters(_ character: Character) -> String {
        var text = Substring(self)
        while text.first == character { text.removeFirst() }
        while text.last == character { text.removeLast() }
        return String(text)
    }
}
