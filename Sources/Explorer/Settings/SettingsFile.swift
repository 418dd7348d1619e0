import EngineSupport
import Foundation
import TerminalCells
import Yams

extension ExplorerSettings {
    /// `$XDG_CONFIG_HOME/lathe/config.yaml`, or `~/.config/lathe/config.yaml`.
    public static func path(environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
        let home = environment["HOME"] ?? NSHomeDirectory()
        // The specification ignores relative paths.
        let base = environment["XDG_CONFIG_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? home + "/.config"
        return base + "/lathe/config.yaml"
    }

    /// The settings of the user, or the defaults when there is no file.
    /// - Throws: `SettingsError` that names the file, the line and what was expected.
    public static func load(environment: [String: String] = ProcessInfo.processInfo.environment) throws(SettingsError) -> ExplorerSettings {
        let path = path(environment: environment)
        guard let data = FileManager.default.contents(atPath: path) else { return ExplorerSettings() }
        return try ExplorerSettings(yaml: String(decoding: data, as: UTF8.self), file: path)
    }

    /// - Throws: `SettingsError` that names the file, the line and what was expected.
    public init(yaml text: String, file: String) throws(SettingsError) {
        self.init()
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            let line = "\(error)".split(whereSeparator: \.isNewline).prefix(2).joined(separator: " ")
            throw SettingsError("\(file): not valid YAML: \(line)")
        }
        // An empty file, or one of comments only, sets nothing.
        guard let root, root.null == nil else { return }
        guard let mapping = root.mapping else { throw SettingsError("\(file): expected settings such as 'mouse: false'") }
        for (key, value) in mapping {
            let place = "\(file), line \(key.mark?.line ?? 0)"
            let name = key.string ?? ""
            switch name {
            case "glyphs": glyphs = try Self.word(value, ["auto"] + GlyphTier.allCases.map(\.rawValue), name, place).tier(GlyphTier.init)
            case "colors": colors = try Self.word(value, ["auto"] + ColorTier.allCases.map(\.rawValue), name, place).tier(ColorTier.init)
            case "mouse":
                guard let on = value.bool else { throw SettingsError("\(place): mouse: expected true or false") }
                mouse = on
            case "view":
                view = ViewID(rawValue: try Self.word(value, ViewID.allCases.map(\.rawValue), name, place)) ?? .explore
            case "measure-latency":
                guard let on = value.bool else { throw SettingsError("\(place): measure-latency: expected true or false") }
                measuresLatency = on
            case "keys": keys = try Self.keys(value, file)
            case "kept-results": limits.trialsPerModel = try Self.count(value, name, place)
            case "kept-trainings": limits.trainingBytes = try Self.count(value, name, place) * 1_000_000
            default:
                throw SettingsError("\(place): there is no setting '\(name)'; expected glyphs, colors, mouse, view, measure-latency, keys, kept-results or kept-trainings")
            }
        }
        do {
            _ = try KeyMap(overrides: keys)
        } catch {
            throw SettingsError("\(file): \(error)")
        }
    }

    private static func word(_ node: Node, _ allowed: [String], _ name: String, _ place: String) throws(SettingsError) -> String {
        guard let text = node.scalar?.string, allowed.contains(text) else {
            throw SettingsError("\(place): \(name): expected one of \(allowed.joined(separator: ", "))")
        }
        return text
    }

    private static func count(_ node: Node, _ name: String, _ place: String) throws(SettingsError) -> Int {
        guard let number = node.int, number > 0, number <= 1_000_000_000 else { throw SettingsError("\(place): \(name): expected a whole number from 1") }
        return number
    }

    private static func keys(_ node: Node, _ file: String) throws(SettingsError) -> [String: [String]] {
        if node.null != nil { return [:] }
        guard let mapping = node.mapping else { throw SettingsError("\(file), line \(node.mark?.line ?? 0): keys: expected 'action: [key, …]'") }
        var keys: [String: [String]] = [:]
        for (action, value) in mapping {
            let place = "\(file), line \(action.mark?.line ?? 0)"
            guard let name = action.string, Action(rawValue: name) != nil else {
                throw SettingsError("\(place): keys: there is no action '\(action.string ?? "")'; `lathe --default-config` lists them")
            }
            let nodes = value.sequence.map(Array.init) ?? [value]
            var texts: [String] = []
            for node in nodes {
                guard let text = node.scalar?.string, Key(text) != nil else {
                    throw SettingsError("\(place): keys: \(name): '\(node.scalar?.string ?? "")' is no key (write ctrl-r, shift-tab, f5, g, …)")
                }
                texts.append(text)
            }
            keys[name] = texts
        }
        return keys
    }

    /// What `lathe --default-config` prints: every setting with its default, commented out, and every action with its keys.
    public static var defaultConfiguration: String {
        var lines = [
            "# Settings of lathe: \(path(environment: ["HOME": "~"]))", "# Every line is a default; remove the # to change it.", "",
            "# Characters to draw with: auto, \(GlyphTier.allCases.map(\.rawValue).joined(separator: ", "))", "#glyphs: auto", "",
            "# Colors: auto, \(ColorTier.allCases.map(\.rawValue).joined(separator: ", ")). NO_COLOR in the environment means mono.", "#colors: auto", "",
            "# The mouse; m switches it while lathe runs.", "#mouse: true", "",
            "# First view: \(ViewID.allCases.map(\.rawValue).joined(separator: ", "))", "#view: explore", "",
            "# Latency is measured by itself once accuracy is known; false: only on a key.", "#measure-latency: true", "",
            "# Results kept of each model and its data; the oldest that are not pinned go first.", "#kept-results: \(StoreLimits().trialsPerModel)", "",
            "# Megabytes of finished trainings and checkpoints; what was not used for longest goes first.",
            "#kept-trainings: \(StoreLimits().trainingBytes / 1_000_000)", "",
            "# Keys by action, instead of the default ones; [] takes them away. Ctrl-C always cancels or quits.", "#keys:",
        ]
        var seen: Set<Action> = []
        for binding in KeyMap().bindings where seen.insert(binding.action).inserted {
            let keys = binding.keys.map { "'" + $0.description.replacing("'", with: "''") + "'" }.joined(separator: ", ")
            lines.append("#  \(binding.action.rawValue): [\(keys)]    # \(binding.title)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// JSON Schema (2020-12) of the settings file, for editors.
    public static var schema: String {
        func list(_ words: [String]) -> String { "[" + words.map { "\"\($0)\"" }.joined(separator: ", ") + "]" }
        let actions = Action.allCases.map { "        \"\($0.rawValue)\": {\"$ref\": \"#/$defs/keys\"}" }.joined(separator: ",\n")
        return """
            {
              "$schema": "https://json-schema.org/draft/2020-12/schema",
              "title": "Settings of lathe",
              "type": ["object", "null"],
              "additionalProperties": false,
              "properties": {
                "glyphs": {"enum": \(list(["auto"] + GlyphTier.allCases.map(\.rawValue)))},
                "colors": {"enum": \(list(["auto"] + ColorTier.allCases.map(\.rawValue)))},
                "mouse": {"type": "boolean"},
                "view": {"enum": \(list(ViewID.allCases.map(\.rawValue)))},
                "measure-latency": {"type": "boolean"},
                "kept-results": {"type": "integer", "minimum": 1},
                "kept-trainings": {"type": "integer", "minimum": 1},
                "keys": {
                  "type": ["object", "null"],
                  "additionalProperties": false,
                  "properties": {
            \(actions)
                  }
                }
              },
              "$defs": {"keys": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}}
            }

            """
    }
}

extension String {
    /// `auto` leaves the choice to the terminal.
    fileprivate func tier<T>(_ make: (String) -> T?) -> T? { self == "auto" ? nil : make(self) }
}
