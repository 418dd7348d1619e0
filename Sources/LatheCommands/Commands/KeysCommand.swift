import ArgumentParser
import Explorer

struct Keys: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "List the explorer's keys, with the user's own bindings.")

    @Flag(help: "Print the default keys as the Markdown page Docs/Keys.md.")
    var markdown = false

    @OptionGroup var output: OutputOptions

    /// What `lathe keys --json` prints.
    struct Document: JSONDocument {
        struct Entry: Encodable {
            var action: String
            var title: String
            var group: String
            var keys: [String]
        }

        let schema = "lathe.keys/1"
        var bindings: [Entry]
    }

    func run() throws {
        if markdown { return Console.print(KeyMap().markdown) }
        let map = try KeyMap(overrides: ExplorerSettings.load().keys)
        let entries = map.bindings.map { binding in
            Document.Entry(
                action: binding.action.rawValue, title: binding.title, group: binding.group.rawValue,
                keys: binding.keys.map { KeyBinding.label($0, tier: .ascii) })
        }
        if output.json { return Console.print(try Document(bindings: entries).printed()) }
        var blocks: [String] = []
        for group in KeyBinding.Group.allCases {
            var table = TextTable([("", .left), ("", .left), ("", .left)])
            for entry in entries where entry.group == group.rawValue { table.add(entry.keys.joined(separator: " "), entry.title, entry.action) }
            if !table.rows.isEmpty { blocks.append("\(group.rawValue)\n\(table.text)") }
        }
        Console.print(blocks.joined(separator: "\n\n"))
    }
}
