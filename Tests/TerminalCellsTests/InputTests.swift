import Testing

@testable import TerminalCells

@Suite struct InputTests {
    static let codes: [Key.Code] = [
        .up, .down, .left, .right, .home, .end, .pageUp, .pageDown, .enter, .tab, .escape, .backspace, .delete, .insert,
        .function(1), .function(12), .character("g"), .character("G"), .character("-"), .character(" "),
        .character("é"), .character("日"), .character("f"),
    ]

    @Test func everyKeyReadsBackFromItsText() {
        for code in Self.codes {
            for bits in 0..<UInt8(8) {
                let key = Key(code, Key.Modifiers(rawValue: bits))
                #expect(Key(key.description) == key, "\(key)")
                #expect(InputEvent(InputEvent.key(key).description) == .key(key))
            }
        }
    }

    @Test func keysAreWrittenAsKeyMapsHaveThem() {
        let written: [(Key, String)] = [
            (Key(.character("r"), .control), "ctrl-r"), (Key(.tab, .shift), "shift-tab"), (Key(.character("g")), "g"),
            (Key(.character("G")), "G"), (Key(.function(1)), "f1"), (Key(.escape), "esc"),
            (Key(.character(" ")), "space"),
            (Key(.character("-"), [.control, .alt]), "ctrl-alt--"),
        ]
        for (key, text) in written {
            #expect(key.description == text)
            #expect(Key(text) == key)
        }
        for bad in ["", "ctrl-", "foo", "f0", "f99", "shift", "ctrl-foo", "GG"] { #expect(Key(bad) == nil, "\(bad)") }
    }

    @Test func eventsReadBackFromTheirText() {
        let place = Point(x: 12, y: 5)
        let events: [InputEvent] = [
            .mouse(MouseEvent(.press(.left), at: place)),
            .mouse(MouseEvent(.release(.right), at: place, modifiers: [.control, .shift])),
            .mouse(MouseEvent(.drag(.middle), at: place)), .mouse(MouseEvent(.wheelUp, at: place)),
            .mouse(MouseEvent(.wheelDown, at: place, modifiers: .alt)), .resize(Size(width: 80, height: 24)),
            .paste("a b\\n\n\ttab \\ end"), .paste(""), .focus(true), .focus(false),
        ]
        for event in events {
            #expect(!event.description.contains("\n"))
            #expect(InputEvent(event.description) == event, "\(event)")
        }
        for bad in [
            "mouse", "mouse press 1,2", "mouse press left", "mouse wheel-up left 1,2", "resize 80", "resize 80x-1",
            "focus", "jump 3",
        ] {
            #expect(InputEvent(bad) == nil, "\(bad)")
        }
    }

    @Test func textFieldEdits() {
        var field = TextField("conv weight")
        func type(_ keys: String...) {
            for key in keys {
                let isHandled = field.handle(Key(key)!)
                #expect(isHandled, "\(key)")
            }
        }
        type("ctrl-w")
        #expect(field.text == "conv ")
        type("home", "delete", "C", "end", "1", "left", "left", "backspace")
        #expect(field.text == "Con 1")
        #expect(field.cursor == 3)
        type("ctrl-k", "ctrl-u", "日", "space")
        #expect(field.text == "日 " && field.cursor == 2)
        field.insert("two\nlines\u{1B}\u{7F}")
        #expect(field.text == "日 two lines")
        let before = field
        for key in ["enter", "esc", "tab", "up", "f1", "ctrl-r", "alt-x"] {
            let isHandled = field.handle(Key(key)!)
            #expect(!isHandled, "\(key)")
        }
        #expect(field == before)
        // A combining mark joins the character before it.
        field.set("e")
        field.insert("\u{301}")
        #expect(field.text.count == 1 && field.cursor == 1)
    }

    @Test func selectionStaysInViewWhateverIsPressed() {
        var generator = SeededGenerator(state: 7)
        let keys = ["up", "down", "pageup", "pagedown", "g", "G", "ctrl-u", "ctrl-d", "j", "k"]
        var state = ListState()
        for _ in 0..<3000 {
            let count = Int.random(in: 0...40, using: &generator)
            let visible = Int.random(in: 1...12, using: &generator)
            let isHandled = state.handle(Key(keys.randomElement(using: &generator)!)!, count: count, visible: visible)
            #expect(isHandled)
            if let selected = state.selected {
                #expect((0..<count).contains(selected))
                #expect((state.offset..<state.offset + visible).contains(selected))
            } else {
                #expect(count == 0)
            }
            #expect(state.offset >= 0 && state.offset <= max(0, count - visible))
        }
    }

    @Test func paletteFindsByNameKeyAndGroup() {
        var list = CommandList(commands: [
            Command("export model", keys: "x"), Command("undo", keys: "u", group: "edit"),
            Command("next", keys: "ctrl-n"),
        ])
        #expect(list.matches == [0, 1, 2])
        for key in ["u", "n"] {
            let isHandled = list.handle(Key(key)!, visible: 5)
            #expect(isHandled)
        }
        #expect(list.selectedCommand == 1)
        list.field.set("ctrl-n")
        #expect(list.matches == [2])
        list.field.set("edit")
        #expect(list.matches == [1])
        list.field.set("zzz")
        #expect(list.selectedCommand == nil)
    }
}
