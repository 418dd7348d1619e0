import CompressionEngine
import Measurement
import Recipes
import TerminalCells

/// Header, tabs, status line, footer, and the screen while the model is opened.
extension Painter {
    private var separator: Span { Span(theme.glyphTier == .ascii ? " | " : " · ", .muted) }

    mutating func drawHeader(in rect: Rect) {
        let state = stateLine
        let used = min(state.width, rect.width / 2)
        grid.put(state, in: rect.inset(left: rect.width - used), alignment: .right)
        var line = StyledLine("lathe", Style(.accent, .bold))
        line += Span("  ")
        let room = rect.inset(right: used + 2)
        guard let info = model.facts.info else {
            line += Span(model.request.modelPath)
            grid.put(line, in: room, truncation: .middle)
            return
        }
        line += Span(info.modelName, .bold)
        // Whole facts only: half a version number says nothing.
        func add(_ fact: Span) {
            if line.width + separator.width + fact.width <= room.width { line += [separator, fact] }
        }
        if info.runtimeVersion == nil { add(Span("no runtime", .warning)) }
        add(info.dataName.map { Span("\($0) \(Grouping.text(info.validationCount))", .muted) } ?? Span("no data", .warning))
        if let version = info.runtimeVersion { add(Span("ORT \(version)", .muted)) }
        grid.put(line, in: room, truncation: .middle)
    }

    private var spinner: String { String(glyphs.spinner[model.tick % glyphs.spinner.count]) }

    /// What the engine is doing, in a few words.
    private var stateLine: StyledLine {
        if case .failed = model.facts.phase { return StyledLine("\(glyphs.cross) not opened", .bad) }
        if case .opening = model.facts.phase { return StyledLine("\(spinner) opening", .accent) }
        if let job = model.tasks.jobs.last(where: \.isRunning) {
            let percent = job.update.fraction.map { " \(Int($0 * 100))%" } ?? ""
            return StyledLine("\(spinner) \(job.update.title)\(percent)", .accent)
        }
        if let run = model.answers.latencyRun { return StyledLine(run.isWaiting ? "\(spinner) machine busy" : "\(spinner) timing", .accent) }
        let estimate = model.accuracyNow
        switch model.answers.evaluation.status {
        case .running:
            guard let estimate, !estimate.isStale else { return StyledLine("\(spinner) applying recipe", .accent) }
            return StyledLine("\(spinner) evaluated \(Grouping.text(estimate.estimate.seen))/\(Grouping.text(estimate.estimate.total))", .accent)
        case .failed: return StyledLine("\(glyphs.cross) failed, ! tells why", .bad)
        case .cancelled: return StyledLine("\(glyphs.warning) canceled", .warning)
        case .settled, .idle:
            guard let estimate = estimate?.estimate, estimate.total > 0 else {
                if model.facts.isPrepared, model.facts.baseline?.packedBytes == nil { return StyledLine("measuring archive and gzip", .muted) }
                return StyledLine(model.facts.isPrepared ? "" : "\(spinner) preparing", .muted)
            }
            if estimate.isComplete { return StyledLine("\(glyphs.check) evaluated \(Grouping.text(estimate.total))", .good) }
            return StyledLine("\(spinner) baseline \(Grouping.text(estimate.seen))/\(Grouping.text(estimate.total))", .accent)
        }
    }

    mutating func drawTabs(in rect: Rect) {
        let tabs = Tabs(ViewID.allCases.map(\.title), selected: model.ui.view.digit - 1)
        let area = rect.inset(right: 0)
        grid.draw(tabs, in: area, theme: theme)
        for x in area.minX..<area.maxX {
            if let index = tabs.index(atX: x, in: area) { hit(Rect(x: x, y: area.y, width: 1, height: 1), .view(ViewID.allCases[index])) }
        }
        var marks = StyledLine()
        if model.ui.isZoomed { marks += Span(" zoomed ", Style(.accent, .bold)) }
        if model.ui.comparedState != nil { marks += Span(" vs \(model.reference.title) ", Style(.warning, .bold)) }
        grid.put(marks, in: rect, alignment: .right)
    }

    // MARK: - Opening

    /// The file that is opened; once that has failed, the one that the message is about.
    private var pathToOpen: String {
        let request = model.request
        guard case .failed(let message) = model.facts.phase else { return request.modelPath }
        return [request.dataPath, request.recipePath].compactMap { $0 }.first { message.hasPrefix($0) } ?? request.modelPath
    }

    mutating func drawOpening(in rect: Rect) {
        let box = rect.centered(width: min(64, rect.width - 4), height: 8)
        grid.put(StyledLine("lathe", Style(.accent, .bold)), in: box.row(0), alignment: .center)
        grid.put(StyledLine(pathToOpen, .bold), in: box.row(2), alignment: .center, truncation: .middle)
        switch model.facts.phase {
        case .opening(let phase, let fraction):
            let bar = ProgressBar(phase: phase, fraction: fraction, elapsed: model.now, tick: model.tick)
            grid.draw(bar, in: box.row(4), theme: theme)
            grid.put(StyledLine("q quits", .muted), in: box.row(6), alignment: .center)
        case .failed(let message):
            let lines = [StyledLine("\(glyphs.cross) cannot be opened", .bad), StyledLine(message), StyledLine(""), StyledLine("! shows it to copy, q quits", .muted)]
            text(lines, in: box.inset(top: 4).intersection(rect))
        case .ready: break
        }
    }

    // MARK: - Status and footer

    mutating func drawStatus(in rect: Rect) {
        if let notice = model.feed.notice {
            grid.draw(Toast(notice.kind, notice.text), in: rect, theme: theme)
        } else if model.facts.phase == .ready {
            grid.put(StatusText(model, theme: theme).line, in: rect)
        }
    }

    mutating func drawFooter(in rect: Rect) {
        if case .entry(let entry) = model.ui.overlay {
            grid.draw(entry.field, in: rect, theme: theme)
            return
        }
        grid.draw(KeyHints(FooterHints.hints(model), always: FooterHints.help(model)), in: rect, theme: theme)
    }
}

/// The hints of the footer, from the key map.
enum FooterHints {
    static func help(_ model: ExplorerModel) -> KeyHint? {
        guard model.ui.overlay == nil else { return KeyHint("Esc", "back") }
        return hint(.help, model)
    }

    static func hints(_ model: ExplorerModel) -> [KeyHint] {
        switch model.ui.overlay {
        case .help: return [KeyHint("type", "to filter"), KeyHint("Enter", "do it")]
        case .palette: return [KeyHint("type", "to filter"), KeyHint("Enter", "run"), KeyHint("set NAME VALUE", "turns a knob")]
        case .messages: return [KeyHint("Enter", "copy")]
        case .text: return [KeyHint("y", "copy")]
        case .confirm: return [KeyHint("Enter", "choose")]
        case .entry, nil: break
        }
        if model.facts.phase != .ready { return [hint(.quit, model)].compactMap { $0 } }
        let bindings = model.keyMap.bindings(in: model.pane).filter { !$0.hint.isEmpty && $0.action != .help }
        var own: [KeyHint] = []
        var everywhere: [(rank: Int, hint: KeyHint)] = [(1, KeyHint("1-6", "views"))]
        var seen: Set<Action> = []
        for binding in bindings where seen.insert(binding.action).inserted {
            guard let key = key(binding, model), isOffered(binding.action, model) else { continue }
            if binding.action == .axisX, let other = model.keyMap.binding(of: .axisY, in: model.pane), let y = self.key(other, model) {
                own.append(KeyHint("\(key)/\(y)", "axes"))
                seen.insert(.axisY)
                continue
            }
            // The two directions of a knob make one hint.
            if binding.action == .decrease, let other = model.keyMap.binding(of: .increase, in: model.pane), let more = self.key(other, model) {
                own.append(KeyHint(key + more, "turn"))
                seen.insert(.increase)
                continue
            }
            let hint = KeyHint(key, binding.hint, isEnabled: isEnabled(binding.action, model))
            if binding.panes != nil { own.append(hint) } else { everywhere.append((rank[binding.action] ?? 99, hint)) }
        }
        // What the pane itself offers comes first.
        return own + everywhere.sorted { $0.rank < $1.rank }.map(\.hint)
    }

    private static let rank: [Action: Int] = [
        .nextPane: 0, .undo: 2, .redo: 3, .palette: 4, .measureLatency: 5, .filter: 6, .zoom: 7, .compare: 8, .quit: 9,
    ]

    /// Moving steps is of use only when there are several.
    private static func isOffered(_ action: Action, _ model: ExplorerModel) -> Bool {
        switch action {
        case .moveEarlier, .moveLater: model.recipe.steps.count(where: \.enabled) > 1 && model.focusedStep != nil
        default: true
        }
    }

    private static func isEnabled(_ action: Action, _ model: ExplorerModel) -> Bool {
        switch action {
        case .undo: model.session.history.canUndo
        case .redo: model.session.history.canRedo
        case .compare: model.ui.comparedState != nil || model.session.history.nodes.contains(where: \.isPinned)
        default: true
        }
    }

    private static func key(_ binding: KeyBinding, _ model: ExplorerModel) -> String? {
        model.keyMap.reachableKeys(of: binding, in: model.pane).first.map { KeyBinding.label($0, tier: model.theme.glyphTier) }
    }

    private static func hint(_ action: Action, _ model: ExplorerModel) -> KeyHint? {
        guard let binding = model.keyMap.binding(of: action, in: model.pane), let key = key(binding, model) else { return nil }
        return KeyHint(key, binding.hint)
    }
}
