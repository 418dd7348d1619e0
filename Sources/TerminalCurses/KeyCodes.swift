import CNcurses
import TerminalCells

/// What curses' key codes and control characters mean.
enum KeyCodes {
    // Codes of our own for sequences curses has none for; above KEY_MAX and the codes curses makes up for extended keys.
    static let pasteBegin: Int32 = 0x4001
    static let pasteEnd: Int32 = 0x4002
    static let focusIn: Int32 = 0x4003
    static let focusOut: Int32 = 0x4004

    /// Sequences of xterm, rxvt, the Linux console and tmux in both cursor-key modes.
    static let commonSequences: [(String, Int32)] = [
        ("\u{1B}[A", KEY_UP), ("\u{1B}[B", KEY_DOWN), ("\u{1B}[C", KEY_RIGHT), ("\u{1B}[D", KEY_LEFT),
        ("\u{1B}OA", KEY_UP), ("\u{1B}OB", KEY_DOWN), ("\u{1B}OC", KEY_RIGHT), ("\u{1B}OD", KEY_LEFT),
        ("\u{1B}[H", KEY_HOME), ("\u{1B}OH", KEY_HOME), ("\u{1B}[1~", KEY_HOME), ("\u{1B}[7~", KEY_HOME),
        ("\u{1B}[F", KEY_END), ("\u{1B}OF", KEY_END), ("\u{1B}[4~", KEY_END), ("\u{1B}[8~", KEY_END),
        ("\u{1B}[2~", KEY_IC), ("\u{1B}[3~", KEY_DC), ("\u{1B}[5~", KEY_PPAGE), ("\u{1B}[6~", KEY_NPAGE),
        ("\u{1B}[Z", KEY_BTAB),
    ]

    private static let plain: [Int32: Key] = [
        KEY_UP: Key(.up), KEY_DOWN: Key(.down), KEY_LEFT: Key(.left), KEY_RIGHT: Key(.right),
        KEY_HOME: Key(.home), KEY_END: Key(.end), KEY_PPAGE: Key(.pageUp), KEY_NPAGE: Key(.pageDown),
        KEY_ENTER: Key(.enter), KEY_BACKSPACE: Key(.backspace), KEY_DC: Key(.delete), KEY_IC: Key(.insert),
        KEY_BTAB: Key(.tab, .shift),
        KEY_SR: Key(.up, .shift), KEY_SF: Key(.down, .shift), KEY_SLEFT: Key(.left, .shift),
        KEY_SRIGHT: Key(.right, .shift),
        KEY_SHOME: Key(.home, .shift), KEY_SEND: Key(.end, .shift),
        KEY_SPREVIOUS: Key(.pageUp, .shift), KEY_SNEXT: Key(.pageDown, .shift),
        KEY_SDC: Key(.delete, .shift), KEY_SIC: Key(.insert, .shift),
        KEY_A1: Key(.home), KEY_A3: Key(.pageUp), KEY_C1: Key(.end), KEY_C3: Key(.pageDown),
    ]

    /// Extended terminfo names (`kLFT5`): the base, then 1 + shift (1) + alt (2) + ctrl (4), as xterm counts.
    private static let extended: [String: Key.Code] = [
        "kUP": .up, "kDN": .down, "kLFT": .left, "kRIT": .right, "kHOM": .home, "kEND": .end, "kPRV": .pageUp,
        "kNXT": .pageDown, "kDC": .delete, "kIC": .insert,
    ]

    /// The key of a curses key code; nil for one that means nothing here.
    static func key(code: Int32) -> Key? {
        if let key = plain[code] { return key }
        let first = lathe_key_function(0)
        if code > first, code <= first + 63 {
            // Terminals send F13...F24 for shift-F1...shift-F12, F25... for ctrl.
            let n = Int(code - first)
            let modifiers: [Key.Modifiers] = [[], .shift, .control, [.control, .shift], .alt]
            let bank = (n - 1) / 12
            return bank < modifiers.count ? Key(.function((n - 1) % 12 + 1), modifiers[bank]) : Key(.function(n))
        }
        guard let name = keyname(code).map({ String(cString: $0) }) else { return nil }
        guard let digit = name.last?.wholeNumberValue, let base = extended[String(name.dropLast())], digit > 1 else {
            return nil
        }
        var modifiers: Key.Modifiers = []
        if (digit - 1) & 1 != 0 { modifiers.insert(.shift) }
        if (digit - 1) & 2 != 0 { modifiers.insert(.alt) }
        if (digit - 1) & 4 != 0 { modifiers.insert(.control) }
        return Key(base, modifiers)
    }

    /// The key of a character; nil for one that is no Unicode scalar.
    static func key(character: UInt32) -> Key? {
        switch character {
        case 0: return Key(.character(" "), .control)
        case 8, 127: return Key(.backspace)
        case 9: return Key(.tab)
        // Some terminals and scripts send a line feed for Enter.
        case 10, 13: return Key(.enter)
        case 27: return Key(.escape)
        case 1...26: return Unicode.Scalar(character + 96).map { Key(.character(Character($0)), .control) }
        case 28...31: return Unicode.Scalar(character + 64).map { Key(.character(Character($0)), .control) }
        default: return Unicode.Scalar(character).map { Key(.character(Character($0))) }
        }
    }
}
