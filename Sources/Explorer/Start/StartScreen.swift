import Foundation
import TerminalCells

/// What is shown when no model is named: models to choose from, then the data set to judge them by. Pure, as the explorer is.
public struct StartScreen: Sendable {
    public enum Outcome: Sendable, Equatable {
        case open(model: String, data: String?)
        case quit
    }

    private enum Choice: Sendable {
        case recent(StartFiles.Recent)
        case model(String)
        case data(String?)
    }

    private let files: StartFiles
    private let folder: String
    /// The model that is chosen, while its data set is not.
    private(set) var model: String?
    private(set) var list: CommandList
    private var choices: [Choice] = []
    public var size: Size

    public init(_ files: StartFiles, folder: String, size: Size) {
        self.files = files
        self.folder = folder
        self.size = size
        list = CommandList(commands: [])
        showModels()
    }

    /// Paths as they are typed from here.
    private func shown(_ path: String) -> String { path.hasPrefix(folder + "/") ? String(path.dropFirst(folder.count + 1)) : path }

    private mutating func showModels() {
        model = nil
        var commands: [Command] = []
        choices = []
        for recent in files.recent {
            commands.append(Command(shown(recent.model), keys: recent.data.map { "with \(shown($0))" } ?? "without data", group: "recent"))
            choices.append(.recent(recent))
        }
        for (path, bytes) in files.models {
            commands.append(Command(path, keys: NumberFormat.bytes.text(Double(bytes)), group: "here"))
            choices.append(.model(path))
        }
        list = CommandList(commands: commands, field: TextField(prompt: "/", placeholder: "type to filter"))
    }

    private mutating func showData(for model: String) {
        self.model = model
        let data = files.data(near: model)
        choices = data.map { .data($0) } + [.data(nil)]
        let names = data.map { Command($0) }
        list = CommandList(commands: names + [Command("no data: sizes and compute only")], field: TextField(prompt: "/", placeholder: "type to filter"))
    }

    private var rows: Int { max(1, size.height - 8) }

    public mutating func handle(_ key: Key) -> Outcome? {
        switch key.description {
        case "ctrl-c": return .quit
        case "esc":
            if !list.field.text.isEmpty {
                list.field.set("")
                list.state = ListState()
            } else if model != nil {
                showModels()
            } else {
                return .quit
            }
        case "q" where list.field.text.isEmpty && model == nil: return .quit
        case "enter":
            guard let index = list.selectedCommand else { return nil }
            switch choices[index] {
            case .recent(let recent): return .open(model: recent.model, data: recent.data)
            case .data(let data): return model.map { .open(model: $0, data: data) }
            case .model(let path):
                // Without anything to choose there is no question.
                guard !files.data.isEmpty else { return .open(model: path, data: nil) }
                showData(for: path)
            }
        default: _ = list.handle(key, visible: rows)
        }
        return nil
    }

    public mutating func paste(_ text: String) { list.field.insert(text) }

    public func frame(_ theme: Theme) -> CellGrid {
        var grid = CellGrid(size: size, tier: theme.glyphTier)
        guard size.width >= ExplorerLayout.minimum.width, size.height >= ExplorerLayout.minimum.height else {
            grid.draw(TooSmall(needed: ExplorerLayout.minimum), in: grid.bounds, theme: theme)
            return grid
        }
        let rows = Rect(size).rows([.fixed(1), .fixed(2), .fill, .fixed(1)])
        grid.put([Span("lathe", Style(.accent, .bold)), Span("  explores what compressing a model costs", .muted)], in: rows[0].inset(left: 1))
        let about = model.map { "\(($0 as NSString).lastPathComponent): which data set judges it? Without one, no accuracy." } ?? "Open a trained ONNX model."
        grid.put(StyledLine(about), in: rows[1].row(1).inset(left: 1))
        let title = model == nil ? "Models below \(folder)" : "Data sets"
        grid.draw(Panel(title: StyledLine(title), badge: StyledLine("\(list.commands.count)", .muted), isFocused: true), in: rows[2], theme: theme)
        let content = Panel.content(of: rows[2]).inset(left: 1, right: 1)
        if list.commands.isEmpty {
            let lines = [
                StyledLine("There is no .onnx file here, nor one that was opened before."), StyledLine(""),
                StyledLine("lathe MODEL.onnx --data DATA.yaml opens one from anywhere.", .bold),
                StyledLine("torch.onnx.export and tf2onnx write such files; 'lathe data' declares a data set.", .muted),
            ]
            grid.draw(Paragraph(lines), in: content, theme: theme)
        } else {
            grid.draw(list, in: content, theme: theme)
        }
        let hints = [KeyHint("\(theme.glyphs.arrowUp)\(theme.glyphs.arrowDown)", "choose"), KeyHint("type", "to filter"), KeyHint("Enter", "open")]
        grid.draw(KeyHints(hints, always: model == nil ? KeyHint("q", "quit") : KeyHint("Esc", "back")), in: rows[3].inset(left: 1, right: 1), theme: theme)
        return grid
    }
}

/// Runs the start screen on a terminal.
public enum StartRuntime {
    /// - Throws: when the terminal is gone.
    public static func run(_ files: StartFiles, folder: String, port: any TerminalPort, theme: Theme) throws -> StartScreen.Outcome {
        var screen = StartScreen(files, folder: folder, size: port.size)
        while true {
            port.present(screen.frame(theme))
            for event in try port.events(timeout: nil) {
                switch event {
                case .key(let key):
                    if key == Key(.character("z"), .control) {
                        _ = port.suspend()
                    } else if let outcome = screen.handle(key) {
                        return outcome
                    }
                case .paste(let text): screen.paste(text)
                case .resize(let size): screen.size = size
                case .mouse, .focus: break
                }
            }
        }
    }
}
