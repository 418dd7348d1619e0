/// What the mouse did, and where.
public struct MouseEvent: Hashable, Sendable {
    public enum Button: String, Hashable, Sendable { case left, middle, right }
    public enum Action: Hashable, Sendable {
        case press(Button)
        case release(Button)
        /// Moved with a button held.
        case drag(Button)
        case wheelUp, wheelDown
    }
    public var action: Action
    public var position: Point
    public var modifiers: Key.Modifiers

    public init(_ action: Action, at position: Point, modifiers: Key.Modifiers = []) {
        self.action = action
        self.position = position
        self.modifiers = modifiers
    }
}

/// Everything a terminal can tell a program.
///
/// The text form is one line without line breaks, for session logs: a key as in `Key`; `mouse press left 12,5`,
/// `mouse wheel-up 12,5`, `mouse ctrl press left 3,4`; `resize 80x24`; `paste` and the text with `\n`, `\t`, `\\` escaped;
/// `focus in`, `focus out`. `InputEvent(event.description) == event`.
public enum InputEvent: Hashable, Sendable {
    case key(Key)
    case mouse(MouseEvent)
    case resize(Size)
    case paste(String)
    /// The terminal window gained (true) or lost the focus.
    case focus(Bool)
}

extension InputEvent: CustomStringConvertible, LosslessStringConvertible {
    public var description: String {
        switch self {
        case .key(let key): key.description
        case .mouse(let event): "mouse \(event.text)"
        case .resize(let size): "resize \(size)"
        case .paste(let text): "paste \(Self.escaped(text))"
        case .focus(let gained): gained ? "focus in" : "focus out"
        }
    }

    public init?(_ text: String) {
        // A lone space would be ambiguous with the separator; the key is written "space".
        guard let separator = text.firstIndex(of: " "), text.count > 1 else {
            guard let key = Key(text) else { return nil }
            self = .key(key)
            return
        }
        let argument = String(text[text.index(after: separator)...])
        switch text[..<separator] {
        case "mouse":
            guard let event = MouseEvent(text: argument) else { return nil }
            self = .mouse(event)
        case "resize":
            let parts = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let width = parts[0], let height = parts[1], width >= 0, height >= 0 else {
                return nil
            }
            self = .resize(Size(width: width, height: height))
        case "paste": self = .paste(Self.unescaped(argument))
        case "focus" where argument == "in": self = .focus(true)
        case "focus" where argument == "out": self = .focus(false)
        default: return nil
        }
    }

    private static func escaped(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }

    private static func unescaped(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var isEscaped = false
        for scalar in text.unicodeScalars {
            if isEscaped {
                switch scalar {
                case "n": result.append("\n")
                case "r": result.append("\r")
                case "t": result.append("\t")
                default: result.append(scalar)
                }
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }
}

extension MouseEvent {
    var text: String {
        var words: [String] = []
        if modifiers.contains(.control) { words.append("ctrl") }
        if modifiers.contains(.alt) { words.append("alt") }
        if modifiers.contains(.shift) { words.append("shift") }
        switch action {
        case .press(let button): words += ["press", button.rawValue]
        case .release(let button): words += ["release", button.rawValue]
        case .drag(let button): words += ["drag", button.rawValue]
        case .wheelUp: words.append("wheel-up")
        case .wheelDown: words.append("wheel-down")
        }
        return words.joined(separator: " ") + " \(position.x),\(position.y)"
    }

    init?(text: String) {
        var words = text.split(separator: " ")[...]
        var modifiers: Key.Modifiers = []
        let names: [Substring: Key.Modifiers] = ["ctrl": .control, "alt": .alt, "shift": .shift]
        while let first = words.first, let modifier = names[first] {
            modifiers.insert(modifier)
            words.removeFirst()
        }
        guard let verb = words.popFirst(), let place = words.popLast(), words.count <= 1 else { return nil }
        let coordinates = place.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard coordinates.count == 2, let x = coordinates[0], let y = coordinates[1] else { return nil }
        let button = words.first.flatMap { Button(rawValue: String($0)) }
        let action: Action
        switch (verb, button) {
        case ("press", let button?): action = .press(button)
        case ("release", let button?): action = .release(button)
        case ("drag", let button?): action = .drag(button)
        case ("wheel-up", nil) where words.isEmpty: action = .wheelUp
        case ("wheel-down", nil) where words.isEmpty: action = .wheelDown
        default: return nil
        }
        self.init(action, at: Point(x: x, y: y), modifiers: modifiers)
    }
}
