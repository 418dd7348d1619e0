/// A piece of text in one style.
public struct Span: Hashable, Sendable, ExpressibleByStringInterpolation {
    public var text: String
    public var style: Style
    public init(_ text: String, _ style: Style = .standard) {
        self.text = text
        self.style = style
    }
    public init(stringLiteral value: String) { self.init(value) }
    /// Columns the text takes.
    public var width: Int { DisplayWidth.of(text) }
}

/// Where text that does not fit loses characters.
public enum Truncation: Hashable, Sendable {
    case end, start
    /// Keeps both ends: right for paths and layer names.
    case middle
}

/// One line of text in several styles. Can be written as a string or as an array of spans.
public struct StyledLine: Hashable, Sendable, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral {
    public var spans: [Span]

    public init(_ spans: [Span] = []) { self.spans = spans }
    public init(_ text: String, _ style: Style = .standard) { self.init([Span(text, style)]) }
    public init(_ span: Span) { self.init([span]) }
    public init(stringLiteral value: String) { self.init(value) }
    public init(arrayLiteral elements: Span...) { self.init(elements) }

    /// Columns the line takes.
    public var width: Int { spans.reduce(0) { $0 + $1.width } }
    public var isEmpty: Bool { spans.allSatisfy(\.text.isEmpty) }
    /// The text without styles.
    public var plain: String { spans.map(\.text).joined() }

    public static func + (a: StyledLine, b: StyledLine) -> StyledLine { StyledLine(a.spans + b.spans) }
    public static func += (a: inout StyledLine, b: StyledLine) { a.spans += b.spans }
    public static func += (a: inout StyledLine, b: Span) { a.spans.append(b) }

    /// Every span restyled.
    public func mapStyles(_ change: (Style) -> Style) -> StyledLine {
        StyledLine(spans.map { Span($0.text, change($0.style)) })
    }

    /// The line cut to `width` columns, with an ellipsis where something was taken away.
    public func truncated(to width: Int, at place: Truncation = .end, ellipsis: Character) -> StyledLine {
        guard self.width > width else { return self }
        guard width > 0 else { return StyledLine() }
        let mark = Span(String(ellipsis), spans.last?.style ?? .standard)
        let room = width - 1
        switch place {
        case .end: return prefix(columns: room) + StyledLine(mark)
        case .start: return StyledLine(mark) + suffix(columns: room)
        case .middle: return prefix(columns: room / 2) + StyledLine(mark) + suffix(columns: room - room / 2)
        }
    }

    /// The beginning of the line, at most `columns` wide.
    public func prefix(columns: Int) -> StyledLine {
        var left = columns
        var kept: [Span] = []
        for span in spans {
            var text = ""
            for character in span.text {
                let width = DisplayWidth.of(character)
                guard width <= left else {
                    kept.append(Span(text, span.style))
                    return StyledLine(kept)
                }
                left -= width
                text.append(character)
            }
            kept.append(Span(text, span.style))
        }
        return StyledLine(kept)
    }

    /// The end of the line, at most `columns` wide.
    public func suffix(columns: Int) -> StyledLine {
        let mirrored = StyledLine(spans.reversed().map { Span(String($0.text.reversed()), $0.style) })
        return StyledLine(
            mirrored.prefix(columns: columns).spans.reversed().map { Span(String($0.text.reversed()), $0.style) })
    }

    /// The line broken into lines at most `width` wide, at spaces where there are any, at `\n` always.
    public func wrapped(to width: Int) -> [StyledLine] {
        guard width > 0 else { return [] }
        var lines: [StyledLine] = []
        var line: [(Character, Style)] = []
        var columns = 0
        var lastSpace: Int?
        func flush(_ part: [(Character, Style)]) { lines.append(Self.joined(part)) }
        for (character, style) in spans.lazy.flatMap({ span in span.text.map { ($0, span.style) } }) {
            if character.isNewline {
                flush(line)
                (line, columns, lastSpace) = ([], 0, nil)
                continue
            }
            let w = DisplayWidth.of(character)
            if columns + w > width {
                if character == " " {
                    // The space that would stick out is the break itself.
                    flush(line)
                    (line, columns, lastSpace) = ([], 0, nil)
                    continue
                }
                if let space = lastSpace {
                    flush(Array(line[..<space]))
                    line = Array(line[(space + 1)...])
                } else if !line.isEmpty {
                    flush(line)
                    line = []
                }
                columns = line.reduce(0) { $0 + DisplayWidth.of($1.0) }
                lastSpace = nil
            }
            if character == " " { lastSpace = line.count }
            line.append((character, style))
            columns += w
        }
        flush(line)
        return lines
    }

    private static func joined(_ characters: [(Character, Style)]) -> StyledLine {
        var spans: [Span] = []
        for (character, style) in characters {
            if spans.last?.style == style {
                spans[spans.count - 1].text.append(character)
            } else {
                spans.append(Span(String(character), style))
            }
        }
        return StyledLine(spans)
    }
}

extension CellGrid {
    /// Draws a line in the first row of `rect`, cut with an ellipsis when it does not fit. Returns the columns used.
    @discardableResult
    public mutating func put(
        _ line: StyledLine, in rect: Rect, alignment: Alignment = .left, truncation: Truncation = .end
    ) -> Int {
        guard !rect.isEmpty else { return 0 }
        let shown = line.truncated(to: rect.width, at: truncation, ellipsis: Glyphs.of(tier).ellipsis)
        let width = shown.width
        var x = rect.x
        switch alignment {
        case .left: break
        case .center: x += (rect.width - width) / 2
        case .right: x += rect.width - width
        }
        for span in shown.spans {
            x += put(span.text, at: Point(x: x, y: rect.y), style: span.style, limit: max(0, rect.maxX - x))
        }
        return width
    }
}
