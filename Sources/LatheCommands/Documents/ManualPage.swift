import Foundation

/// The man page, made from the very descriptions that `--help` prints.
///
/// ArgumentParser gives them as JSON (its `--experimental-dump-help`); only what a page needs is read from it.
struct ManualPage {
    private struct Tool: Decodable {
        var command: Command
    }

    private struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var shouldDisplay: Bool?
        var subcommands: [Command]?
        var defaultSubcommand: String?
        var arguments: [Argument]?
    }

    private struct Argument: Decodable {
        struct Name: Decodable {
            var kind: String
            var name: String

            var option: String { kind == "long" ? "-\(name)" : name }
        }

        var kind: String
        var shouldDisplay: Bool
        var isOptional: Bool
        var isRepeating: Bool
        var names: [Name]?
        var preferredName: Name?
        var valueName: String?
        var defaultValue: String?
        var allValues: [String]?
        var abstract: String?
        var discussion: String?
    }

    private let root: Command

    /// - Parameter help: what `_dumpHelp()` returns.
    init(help: String) throws { root = try JSONDecoder().decode(Tool.self, from: Data(help.utf8)).command }

    /// The page as mdoc(7).
    /// - Parameter date: `Month day, year`; part of the page, so that the same program always makes the same page.
    func mdoc(version: String, date: String) -> String {
        var lines = [
            ".\\\" Made by 'lathe manual'; edit the commands' descriptions instead.",
            ".Dd \(date)", ".Dt LATHE 1", ".Os lathe \(version)",
            ".Sh NAME", ".Nm lathe", ".Nd \(sentence(root.abstract))",
            ".Sh SYNOPSIS",
        ]
        let commands = shown(root.subcommands, prefix: "")
        for command in commands {
            // The default command is shown as it is typed: without its name.
            lines.append(".Nm lathe" + (command.commandName == "explore" ? "" : " Cm \(command.commandName)"))
            lines += synopsis(command)
        }
        lines += [".Sh DESCRIPTION"] + paragraphs(root.discussion)
        lines.append(".Sh COMMANDS")
        for command in commands {
            lines.append(".Ss \(command.commandName)")
            lines.append(escaped(capitalized(command.abstract ?? "")))
            if let discussion = command.discussion { lines += [".Pp"] + paragraphs(discussion) }
            let shown = (command.arguments ?? []).filter { $0.shouldDisplay && !["help", "version"].contains($0.preferredName?.name ?? "") }
            guard !shown.isEmpty else { continue }
            lines.append(".Bl -tag -width Ds")
            for argument in shown { lines += item(argument) }
            lines.append(".El")
        }
        lines += Self.closing
        return lines.joined(separator: "\n") + "\n"
    }

    /// Commands that are shown, those of groups under both names; a group's default one under the group's name.
    private func shown(_ commands: [Command]?, prefix: String) -> [Command] {
        (commands ?? []).filter { $0.shouldDisplay ?? true && $0.commandName != "help" }.flatMap { command in
            var group = command
            group.commandName = prefix + command.commandName
            let inner = shown(command.subcommands, prefix: group.commandName + " ")
            guard !inner.isEmpty else { return [group] }
            return inner.map { inner in
                var named = inner
                if inner.commandName == "\(group.commandName) \(command.defaultSubcommand ?? "")" { named.commandName = group.commandName }
                return named
            }
        }
    }

    private func synopsis(_ command: Command) -> [String] {
        (command.arguments ?? []).filter { $0.shouldDisplay && !["help", "version"].contains($0.preferredName?.name ?? "") }.map { argument in
            let dots = argument.isRepeating ? " ..." : ""
            let value = argument.valueName.map { " Ar \($0)" } ?? ""
            switch argument.kind {
            case "positional": return argument.isOptional ? ".Op Ar \(argument.valueName ?? "value")\(dots)" : ".Ar \(argument.valueName ?? "value")\(dots)"
            case "flag": return ".Op Fl \(argument.preferredName?.option ?? "")"
            default: return argument.isOptional ? ".Op Fl \(argument.preferredName?.option ?? "")\(value)\(dots)" : ".Fl \(argument.preferredName?.option ?? "")\(value)\(dots)"
            }
        }
    }

    private func item(_ argument: Argument) -> [String] {
        let value = argument.kind == "flag" ? "" : " Ar \(argument.valueName ?? "value")"
        var lines: [String] =
            argument.kind == "positional"
            ? [".It Ar \(argument.valueName ?? "value")"]
            : [".It " + (argument.names ?? []).map { "Fl \($0.option)" }.joined(separator: " , ") + value]
        lines.append(escaped(argument.abstract ?? ""))
        if let values = argument.allValues, argument.kind != "flag" { lines.append(escaped("One of \(values.joined(separator: ", ")).")) }
        if let standard = argument.defaultValue, argument.kind == "option" { lines.append(escaped("Default: \(standard).")) }
        if let discussion = argument.discussion { lines += [".Pp"] + paragraphs(discussion) }
        return lines
    }

    private func paragraphs(_ text: String?) -> [String] {
        (text ?? "").split(separator: "\n").map { $0.isEmpty ? ".Pp" : escaped(String($0)) }.enumerated()
            .flatMap { $0.offset == 0 ? [$0.element] : [".Pp", $0.element] }
    }

    private func sentence(_ text: String?) -> String {
        let text = text ?? ""
        let body = text.hasSuffix(".") ? String(text.dropLast()) : text
        return escaped(body.prefix(1).lowercased() + body.dropFirst())
    }

    private func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }

    /// A leading dot or quote would be a macro; a backslash starts an escape.
    private func escaped(_ text: String) -> String {
        let text = text.split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\e").onOneLine
        return text.hasPrefix(".") || text.hasPrefix("'") ? "\\&" + text : text
    }

    private static let closing = """
        .Sh ENVIRONMENT
        .Bl -tag -width LATHE_ONNXRUNTIME
        .It Ev LATHE_ONNXRUNTIME
        Path of the ONNX Runtime library to measure with.
        .It Ev NO_COLOR
        If set and not empty, the explorer uses no color.
        .It Ev COLORTERM
        .Cm truecolor
        or
        .Cm 24bit
        lets the explorer use 24-bit color.
        .It Ev XDG_CONFIG_HOME
        Folder of the settings,
        .Pa lathe/config.yaml ;
        .Pa ~/.config
        by default.
        .It Ev XDG_CACHE_HOME , XDG_STATE_HOME
        Folders of stored trials and of session logs.
        .El
        .Sh EXIT STATUS
        0 on success, 1 when a stated requirement is not met, 2 on bad input, 130 when interrupted.
        """.split(separator: "\n").map(String.init)
}
