import Foundation
import Testing

/// Help and palette in a real terminal, where keys come as bytes.
@Suite(.serialized) struct ExplorerHelpTests {
    /// Help filters as one types; Esc empties the filter, then closes.
    @Test func helpFiltersAndEscapeBacksOut() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open(data: nil)
        try terminal.type("?")
        try terminal.wait(for: "switch the technique on or off")
        try terminal.type("undo")
        try terminal.wait("the filtered help") { $0.contains("undo") && !$0.contains("switch the technique on or off") }
        try terminal.press("Escape")
        try terminal.wait(for: "switch the technique on or off")
        try terminal.press("Escape")
        try terminal.wait("the explorer") { $0.contains("none on") && !$0.contains("switch the technique on or off") }
        try terminal.quit()
    }

    /// What is chosen in help is done.
    @Test func helpDoesWhatIsChosen() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open(data: nil)
        try terminal.type("?zoom the pane")
        try terminal.wait("one match") { $0.contains("zoom the pane") && !$0.contains("switch the technique") }
        try terminal.press("Enter")
        try terminal.wait(for: "zoomed")
        try terminal.quit()
    }

    @Test func paletteRunsActionsByName() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open(data: nil)
        try terminal.type(":view-layers")
        try terminal.wait("the match on top") { $0.contains(":view-layers") && $0.contains("Layers: table") }
        try terminal.press("Enter")
        try terminal.wait(for: "/ip1/Gemm")
        try terminal.type(":set magnitude-pruning.sparsity 0.37")
        try terminal.press("Enter")
        try terminal.type("1")
        try terminal.wait(for: "0.37")
        try terminal.quit()
    }

    /// Two quick escapes are two; a key right behind an escape is not lost.
    @Test func quickEscapes() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open(data: nil)
        try terminal.type("2z")
        try terminal.wait(for: "zoomed")
        try terminal.press("Escape", "Escape")
        try terminal.wait("Explore again") { !$0.contains("zoomed") && $0.contains("none on") }
        try terminal.type("?undo")
        try terminal.wait(for: "/undo")
        // All in one write, as over a slow line: filter emptied, help closed, the Jobs view opened.
        try terminal.type("\u{1B}\u{1B}5")
        try terminal.wait("the Jobs view") { $0.contains("Nothing is running") }
        try terminal.quit()
    }

    /// A control sequence that nobody knows presses no keys.
    @Test func unknownSequencesAreSwallowed() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open(data: nil)
        try terminal.type("\u{1B}[35~\u{1B}[1;99q")
        try terminal.type("?")
        try terminal.wait(for: "Help: Techniques")
        try terminal.press("Escape")
        try terminal.wait("still Explore") { $0.contains("none on") && !$0.contains("Help:") }
        try terminal.quit()
    }
}
