import CompressionEngine
import Measurement
import TerminalCells

/// Jobs, and the export form.
extension Painter {
    mutating func drawJobList(in rect: Rect) {
        let rows = model.jobRows
        var state = model.ui.lists[.jobList] ?? ListState()
        state.selected = model.jobCursor
        state = state.scrolled(count: rows.count, visible: (rect.height - 2) / 2)
        let running = rows.count { $0.update.state == .running || $0.update.state == .waiting }
        let content = panel(.jobList, in: rect, badge: running > 0 ? StyledLine("\(running) running", .accent) : StyledLine())
        guard !rows.isEmpty else {
            return text([StyledLine("Nothing is running. Evaluations, timing (T), trainings (R) and exports (6) show their progress here.", .muted)], in: content)
        }
        // Two lines each: what it is, how far it is.
        for (line, index) in (state.offset..<rows.count).enumerated() where 2 * line + 1 < content.height {
            let row = rows[index]
            let title = content.row(2 * line)
            hit(Rect(x: title.x, y: title.y, width: title.width, height: 2), .row(.jobList, index))
            grid.put(StyledLine(row.update.title, .bold), in: title)
            drawState(row, in: content.row(2 * line + 1).inset(left: 2))
            if index == state.selected {
                grid.put(glyphs.pointer, at: Point(x: title.x - 1, y: title.y), style: Style(.accent, .bold))
                grid.highlight(title, isFocused(.jobList) ? .selected : .selectedWithoutFocus)
            }
        }
    }

    private mutating func drawState(_ row: JobRow, in rect: Rect) {
        let update = row.update
        let elapsed = NumberFormat.duration(update.elapsedSeconds)
        switch update.state {
        case .running where row.isPaused:
            let percent = update.fraction.map { " at \(Int($0 * 100)) %" } ?? ""
            grid.put([Span("paused", Style(.warning, .bold)), Span("\(percent); \(model.keyLabel(.pauseJob, theme.glyphTier)) resumes", .muted)], in: rect)
        case .running:
            grid.draw(
                ProgressBar(phase: update.phase, fraction: update.fraction, elapsed: update.elapsedSeconds, remaining: update.remainingSeconds, tick: model.tick), in: rect,
                theme: theme)
        case .waiting: grid.put(StyledLine("waiting", .muted), in: rect)
        case .finished: grid.put([Span("\(glyphs.check) ", .good), Span("finished in \(elapsed)", .muted)], in: rect)
        case .cancelled: grid.put([Span("\(glyphs.warning) ", .warning), Span("canceled after \(elapsed)", .muted)], in: rect)
        case .failed(let message): grid.put([Span("\(glyphs.cross) ", .bad), Span(message)], in: rect)
        }
    }

    mutating func drawJobDetail(in rect: Rect) {
        textPane(.jobDetail, in: rect, footer: StyledLine("y copies", .muted))
    }

    // MARK: - Export

    mutating func drawExportForm(in rect: Rect) {
        let content = panel(.exportForm, in: rect)
        let form = model.ui.export
        let selected = model.exportField
        let fields: [(ExportForm.Field, String, StyledLine)] = [
            (.folder, "Folder", StyledLine(form.folder.isEmpty ? "." : form.folder)), (.name, "Name", StyledLine(form.name)),
            (.archive, "Archive", [Span(form.includeArchive ? glyphs.checkboxOn : glyphs.checkboxOff, Style(.accent, .bold)), Span(" packed archive (.lathe)")]),
            (.write, "", [Span("[ Write the files ]", .bold)]),
        ]
        var y = 1
        for (index, (field, label, value)) in fields.enumerated() {
            if field == .write { y += 1 }
            let row = content.row(y)
            hit(row, .row(.exportForm, index))
            grid.put(StyledLine(label, .muted), in: Rect(x: row.x, y: row.y, width: 9, height: 1))
            let area = row.inset(left: 9)
            grid.put(value, in: area, truncation: .start)
            if field == selected {
                grid.put(glyphs.pointer, at: Point(x: row.x - 1, y: row.y), style: Style(.accent, .bold))
                grid.highlight(Rect(x: area.x, y: area.y, width: min(area.width, max(1, value.width)), height: 1), isFocused(.exportForm) ? .selected : .selectedWithoutFocus)
            }
            y += 1
        }
    }

    mutating func drawExportSummary(in rect: Rect) {
        textPane(.exportSummary, in: rect)
    }

    func exportLines(width available: Int) -> [StyledLine] {
        var lines: [StyledLine] = []
        let figures = model.figuresNow
        let files = model.ui.export.files
        let width = files.map { DisplayWidth.of($0.path) }.max() ?? 0
        // In columns where they fit: path, size, what it is.
        let isWide = width + 12 + (files.map { DisplayWidth.of($0.what) }.max() ?? 0) <= available
        for (path, what) in files {
            let size: Measurement.Figure? = path.hasSuffix(".onnx") ? figures?.serializedBytes : (path.hasSuffix(".lathe") ? figures?.packedBytes : nil)
            let shown = size.map { ShownFigure($0.value, .bytes, standing: $0.provenance.standing).span(theme: theme) } ?? Span("")
            let gap = isWide ? String(repeating: " ", count: max(0, width - DisplayWidth.of(path)) + max(0, 10 - shown.width)) : "  "
            lines.append([Span(path, .bold), Span(gap), shown, Span("  \(what)", .muted)])
        }
        lines += [StyledLine(""), StyledLine("Recipe", Style(.muted, .underline))]
        lines += model.description(of: model.recipe).map { StyledLine($0) }
        if let now = model.accuracyNow {
            let row = model.measureRows[0]
            var line: StyledLine = [Span(row.measure.name + " ", .muted), row.now.span(theme: theme, over: .bold)]
            if row.change.value != nil { line += [Span("  "), row.change.span(theme: theme)] }
            line += Span(now.estimate.isComplete && !now.isStale ? "" : "  not complete yet", .warning)
            lines += [StyledLine(""), line]
        }
        if model.isUntrained { lines += [StyledLine(""), StyledLine("Not trained yet: the numbers are those before training. w trains first, then writes.", .warning)] }
        if let problem = model.result?.problem { lines += [StyledLine(""), StyledLine("\(glyphs.cross) \(problem)", .bad)] }
        if let command = model.ui.exportCommand { lines += [StyledLine(""), StyledLine("The same from the shell", Style(.muted, .underline)), StyledLine(command)] }
        return lines
    }
}
