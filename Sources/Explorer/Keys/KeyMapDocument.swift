import TerminalCells

extension KeyMap {
    /// `Docs/Keys.md`, generated from the key map.
    public var markdown: String {
        var lines = [
            "# Keys", "",
            "Generated from the key map (`swift test --filter KeysDocument` with `LATHE_RECORD=1` writes it again). Every action can be run by its",
            "name from the palette (`:`) and bound to other keys in the settings file (`lathe --default-config`).", "",
        ]
        func row(_ binding: KeyBinding) -> String {
            let keys = binding.keys.map { "`" + KeyBinding.label($0, tier: .block).replacing("`", with: "\\`") + "`" }.joined(separator: " ")
            return "| \(keys.isEmpty ? "none" : keys) | \(binding.title) | `\(binding.action.rawValue)` |"
        }
        lines.append("## Everywhere")
        for group in KeyBinding.Group.allCases {
            let rows = bindings.filter { $0.panes == nil && $0.group == group }
            guard !rows.isEmpty else { continue }
            lines += ["", "### \(group.rawValue)", "", "| key | does | action |", "|---|---|---|"] + rows.map(row)
        }
        for view in ViewID.allCases {
            lines += ["", "## \(view.digit) \(view.title)"]
            for pane in view.panes {
                let rows = bindings.filter { $0.panes?.contains(pane) == true }
                guard !rows.isEmpty else { continue }
                lines += ["", "### \(pane.title)", "", "| key | does | action |", "|---|---|---|"] + rows.map(row)
            }
        }
        lines += [
            "", "## While typing", "",
            "Enter accepts, Esc leaves, ^U empties the line, ^W takes the last word away, ← and → move. Up and Down choose among what is offered.", "",
        ]
        return lines.joined(separator: "\n")
    }
}
