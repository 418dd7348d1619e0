import ArgumentParser
import CompressionEngine
import EngineSupport
import Explorer
import Foundation
import Recipes
import TerminalCells
import TerminalCurses

struct Explore: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explore",
        abstract: "Open the explorer on a model (the default).",
        discussion: """
            Without a model it lists those that are here and those that were opened before. Without data the explorer shows sizes and compute; with data accuracy and latency as well. '?' opens help, ':' lists every \
            action, 'q' quits. 'lathe keys' lists the keys, 'lathe --default-config' prints the settings with their defaults.
            """)

    @Argument(help: "The model, an ONNX file.", completion: .file(extensions: ["onnx"]))
    var model: String?

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String?

    @Option(help: ArgumentHelp("Start with this recipe, or with preset:NAME.", valueName: "file"), completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String?

    @OptionGroup var teaching: TeacherOptions

    @Option(name: .customLong("onnxruntime"), help: ArgumentHelp("ONNX Runtime's shared library to use.", valueName: "library"), completion: .file())
    var runtime: String?

    @Option(help: ArgumentHelp("Where to log the session; otherwise a new file under $XDG_STATE_HOME/lathe.", valueName: "file"), completion: .file())
    var log: String?

    @Flag(help: "Do not log the session.")
    var noLog = false

    @Flag(help: "Print the settings file with its defaults and leave.")
    var defaultConfig = false

    @Flag(help: "Print the JSON schema of the settings file and leave.")
    var configSchema = false

    @Flag(help: "Bring a terminal back that a killed explorer left in its own modes, and leave.")
    var resetTerminal = false

    func validate() throws {
        if model == nil, !defaultConfig, !configSchema, !resetTerminal, !TerminalScreen.isInteractive { throw ValidationError("Missing expected argument '<model>'") }
    }

    func run() throws {
        if defaultConfig { return Console.print(ExplorerSettings.defaultConfiguration) }
        if configSchema { return Console.print(ExplorerSettings.schema) }
        if resetTerminal { return try TerminalScreen.reset() }
        guard TerminalScreen.isInteractive else {
            throw BadInput("the explorer needs a terminal; without one use 'lathe inspect \(model ?? "MODEL")', 'lathe evaluate' or 'lathe apply'")
        }
        try Self.check([model, data, recipe?.hasPrefix(RecipePreset.prefix) == true ? nil : recipe].compactMap { $0 })
        let settings = try ExplorerSettings.load()
        let keyMap = try KeyMap(overrides: settings.keys)
        // Before any thread starts: signals that only the terminal thread may take.
        TerminalScreen.prepareProcess()
        // A log that cannot be written is said in the shell, too.
        let named = try model.map { model in try opening(model, data, settings) }
        let screen = try TerminalScreen(
            options: TerminalOptions(colorTier: settings.colors, glyphTier: settings.glyphs, usesMouse: settings.mouse))
        defer { screen.close() }
        let port = ScreenPort(screen)
        guard let (request, writer) = try named ?? choose(port, settings) else { return }
        let explorer = ExplorerRuntime(
            request: request, port: port, engine: Workbench(), settings: settings, keyMap: keyMap, log: writer,
            earlier: EarlierSession.newest(in: SessionLogs.folder, of: URL(fileURLWithPath: request.modelPath).path))
        try explorer.run()
    }

    private func opening(_ model: String, _ data: String?, _ settings: ExplorerSettings) throws -> (OpenRequest, SessionLogWriter?) {
        var request = OpenRequest(modelPath: model, dataPath: data, recipePath: recipe, runtimePath: runtime, teacherPath: teaching.teacher)
        request.limits = settings.limits
        return (request, try sessionLog(of: request))
    }

    /// Asks on the screen which model to open; `nil` if none.
    private func choose(_ port: any TerminalPort, _ settings: ExplorerSettings) throws -> (OpenRequest, SessionLogWriter?)? {
        let folder = FileManager.default.currentDirectoryPath
        let files = StartFiles(folder: folder, logs: SessionLogs.folder)
        guard case .open(let model, let chosen) = try StartRuntime.run(files, folder: folder, port: port, theme: settings.theme(port.capabilities.theme)) else { return nil }
        return try opening(model, data ?? chosen, settings)
    }

    /// Where the session is logged. A log that was asked for has to be; without the usual one the explorer does as well.
    private func sessionLog(of request: OpenRequest) throws -> SessionLogWriter? {
        guard !noLog else { return nil }
        if let log {
            try Outputs.check([log]) {
                var files = request.filesRead
                files.add(ExplorerSettings.path(), "the settings")
                return files
            }
            return try SessionLogWriter(path: log)
        }
        do {
            return try SessionLogWriter(path: SessionLogs.newPath(model: request.modelPath))
        } catch {
            Console.warn("\(error); this session is not logged")
            return nil
        }
    }

    /// A name mistyped is answered in the shell, not behind a screen that first has to be left.
    private static func check(_ paths: [String]) throws {
        for path in paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { throw BadInput("\(path): No such file or directory") }
            guard !isFolder.boolValue else { throw BadInput("\(path): is a folder, expected a file") }
            guard FileManager.default.isReadableFile(atPath: path) else { throw BadInput("\(path): cannot be read") }
        }
    }
}

/// The curses screen as the explorer's terminal.
private final class ScreenPort: TerminalPort {
    private let screen: TerminalScreen

    init(_ screen: TerminalScreen) { self.screen = screen }

    var size: Size { screen.size }
    var capabilities: Capabilities { Capabilities(theme: screen.theme, canCopy: screen.canCopy) }
    var waker: @Sendable () -> Void {
        let waker = screen.waker
        return { waker.wake() }
    }

    func events(timeout: Double?) throws -> [InputEvent] { try screen.nextEvents(timeout: timeout) }
    func present(_ grid: CellGrid) { screen.paint(grid) }
    func setMouse(enabled: Bool) { screen.setMouse(enabled: enabled) }
    func setColors(_ tier: ColorTier) { screen.setColors(tier) }
    func copy(_ text: String) -> Bool { screen.copy(text) }
    func suspend() -> [InputEvent] { screen.suspend() }
    func capturedLines() -> [String] { screen.capturedLines() }
}

/// Where sessions are logged: `$XDG_STATE_HOME/lathe/sessions`, or `~/.local/state/lathe/sessions`.
enum SessionLogs {
    /// Sessions kept; older logs go.
    private static let kept = 200

    static var folder: String {
        let environment = ProcessInfo.processInfo.environment
        let base = environment["XDG_STATE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? (environment["HOME"] ?? NSHomeDirectory()) + "/.local/state"
        return base + "/lathe/sessions"
    }

    /// A name that sorts by time: `20261121-101530-lenet-5-4711.jsonl`.
    static func newPath(model: String) -> String {
        let folder = folder
        removeOld(in: folder)
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        let stamp = String(
            format: "%04d%02d%02d-%02d%02d%02d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec)
        let name = ((model as NSString).lastPathComponent as NSString).deletingPathExtension.filter { $0.isLetter || $0.isNumber || "-_.".contains($0) }
        return "\(folder)/\(stamp)-\(name)-\(getpid()).jsonl"
    }

    private static func removeOld(in folder: String) {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".jsonl") }.sorted()
        for name in names.dropLast(kept - 1) { try? FileManager.default.removeItem(atPath: folder + "/" + name) }
    }
}
