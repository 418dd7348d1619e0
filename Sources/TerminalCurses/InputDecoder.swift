import CNcurses
import TerminalCells

/// Turns what curses reads into events.
struct InputDecoder {
    /// A pad: reading from it never refreshes the screen, as reading from a window would.
    private let pad: UnsafeMutablePointer<WINDOW>
    /// Text of a bracketed paste that has not ended yet, and when its last piece came.
    private var paste: (text: String.UnicodeScalarView, at: ContinuousClock.Instant)?
    private var heldButton: MouseEvent.Button?

    /// nil when curses is out of memory.
    init?() {
        guard let pad = newpad(1, 1) else { return nil }
        self.pad = pad
        keypad(pad, true)
        nodelay(pad, true)
        define_key("\u{1B}[200~", KeyCodes.pasteBegin)
        define_key("\u{1B}[201~", KeyCodes.pasteEnd)
        define_key("\u{1B}[I", KeyCodes.focusIn)
        define_key("\u{1B}[O", KeyCodes.focusOut)
        // TERM is often not quite what the terminal is: the other common spellings of these keys, where they are free.
        for (sequence, code) in KeyCodes.commonSequences where key_defined(sequence) == 0 { define_key(sequence, code) }
    }

    /// Everything that can be read without waiting.
    mutating func read() -> [InputEvent] {
        var events: [InputEvent] = []
        while let input = next() {
            if case .code(KeyCodes.pasteBegin) = input {
                paste = (String.UnicodeScalarView(), .now)
            } else if paste != nil {
                collect(input, &events)
            } else {
                events += self.events(of: input)
            }
        }
        // A paste whose end was lost would swallow the keyboard for ever.
        if let open = paste, open.at.duration(to: .now) > .seconds(2) { finishPaste(&events) }
        return events
    }

    private enum Input {
        case code(Int32)
        case character(UInt32)
    }

    private func next() -> Input? {
        var value: wint_t = 0
        switch wget_wch(pad, &value) {
        case OK: return .character(UInt32(value))
        case lathe_key_code_yes(): return .code(Int32(bitPattern: UInt32(value)))
        default: return nil
        }
    }

    private mutating func events(of input: Input) -> [InputEvent] {
        guard case .character(27) = input else { return [event(of: input)].compactMap { $0 } }
        // Alt-x arrives as escape and x at once. Curses has waited for the escape delay already.
        guard let following = next() else { return [.key(Key(.escape))] }
        switch following {
        // Escape pressed twice is two key presses, not one.
        case .character(27): return [.key(Key(.escape))] + events(of: following)
        // A control sequence nobody knows: its letters are no key presses.
        case .character(0x5B) where skipSequence(): return []
        case .character(let character):
            guard var key = KeyCodes.key(character: character) else { return [.key(Key(.escape))] }
            key.modifiers.insert(.alt)
            return [.key(key)]
        case .code(let code):
            guard var key = KeyCodes.key(code: code) else { return [.key(Key(.escape)), event(of: following)].compactMap { $0 } }
            key.modifiers.insert(.alt)
            return [.key(key)]
        }
    }

    /// Reads a control sequence (parameters, then a final character) to its end; false when there is none.
    private func skipSequence() -> Bool {
        guard var input = next() else { return false }
        while case .character(let character) = input, !(0x40...0x7E).contains(character) {
            guard let more = next() else { break }
            input = more
        }
        return true
    }

    private mutating func event(of input: Input) -> InputEvent? {
        switch input {
        case .character(let character): return KeyCodes.key(character: character).map(InputEvent.key)
        case .code(KeyCodes.focusIn): return .focus(true)
        case .code(KeyCodes.focusOut): return .focus(false)
        case .code(KEY_MOUSE): return mouse().map(InputEvent.mouse)
        // The size is asked for when the signal comes; curses' own notice would be a second one.
        case .code(KEY_RESIZE): return nil
        case .code(let code): return KeyCodes.key(code: code).map(InputEvent.key)
        }
    }

    private mutating func collect(_ input: Input, _ events: inout [InputEvent]) {
        switch input {
        case .code(KeyCodes.pasteEnd): finishPaste(&events)
        case .character(13): paste?.text.append("\n")
        case .character(let character):
            if let scalar = Unicode.Scalar(character) { paste?.text.append(scalar) }
        case .code: break
        }
        paste?.at = .now
    }

    private mutating func finishPaste(_ events: inout [InputEvent]) {
        if let text = paste?.text { events.append(.paste(String(text))) }
        paste = nil
    }

    private mutating func mouse() -> MouseEvent? {
        var raw = MEVENT()
        guard getmouse(&raw) == OK else { return nil }
        let position = Point(x: Int(raw.x), y: Int(raw.y))
        var modifiers: Key.Modifiers = []
        if raw.bstate & lathe_mouse_shift() != 0 { modifiers.insert(.shift) }
        if raw.bstate & lathe_mouse_ctrl() != 0 { modifiers.insert(.control) }
        if raw.bstate & lathe_mouse_alt() != 0 { modifiers.insert(.alt) }
        if raw.bstate & lathe_button_pressed(4) != 0 { return MouseEvent(.wheelUp, at: position, modifiers: modifiers) }
        if raw.bstate & lathe_button_pressed(5) != 0 {
            return MouseEvent(.wheelDown, at: position, modifiers: modifiers)
        }
        for (number, button) in [(Int32(1), MouseEvent.Button.left), (2, .middle), (3, .right)] {
            if raw.bstate & lathe_button_pressed(number) != 0 {
                heldButton = button
                return MouseEvent(.press(button), at: position, modifiers: modifiers)
            }
            // curses makes one event of a press and a release that it reads at once.
            if raw.bstate & lathe_button_clicked(number) != 0 {
                heldButton = nil
                return MouseEvent(.press(button), at: position, modifiers: modifiers)
            }
            if raw.bstate & lathe_button_released(number) != 0 {
                heldButton = nil
                return MouseEvent(.release(button), at: position, modifiers: modifiers)
            }
        }
        if raw.bstate & lathe_mouse_moved() != 0, let heldButton {
            return MouseEvent(.drag(heldButton), at: position, modifiers: modifiers)
        }
        return nil
    }

    func close() { delwin(pad) }
}
