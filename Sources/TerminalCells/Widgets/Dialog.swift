/// A box over everything else, in the middle of the rectangle it is drawn in: title, text, and buttons.
public struct Dialog: Widget, Hashable, Sendable {
    public var title: String
    public var body: [StyledLine]
    public var buttons: [String]
    public var selectedButton: Int
    /// The width of the text, at most.
    public var maximumWidth: Int

    public init(
        title: String, body: [StyledLine], buttons: [String] = ["OK"], selectedButton: Int = 0, maximumWidth: Int = 60
    ) {
        self.title = title
        self.body = body
        self.buttons = buttons
        self.selectedButton = selectedButton
        self.maximumWidth = maximumWidth
    }

    /// Where the dialog is within `rect`.
    public func frame(in rect: Rect) -> Rect {
        let buttonWidth = buttons.reduce(0) { $0 + DisplayWidth.of($1) + 6 }
        let wanted = max(DisplayWidth.of(title) + 2, max(buttonWidth, body.map(\.width).max() ?? 0))
        let width = min(rect.width - 4, min(maximumWidth, wanted))
        let height = body.flatMap { $0.wrapped(to: max(1, width)) }.count
        return rect.centered(width: width + 4, height: height + (buttons.isEmpty ? 2 : 4))
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let frame = frame(in: rect)
        grid.fill(frame)
        grid.draw(Panel(title: StyledLine(title), isFocused: true), in: frame, theme: theme)
        let inner = Panel.content(of: frame).inset(left: 1, right: 1)
        let text = inner.inset(bottom: buttons.isEmpty ? 0 : 2)
        grid.draw(Paragraph(body), in: text, theme: theme)
        guard !buttons.isEmpty, inner.height > 0 else { return }
        var x = inner.x
        for (index, button) in buttons.enumerated() {
            let isSelected = index == selectedButton
            let label = isSelected ? "[ \(button) ]" : "  \(button)  "
            let style: Style = isSelected ? Style(.standard, [.bold, .reverse]) : .standard
            x += grid.put(label, at: Point(x: x, y: inner.maxY - 1), style: style) + 2
        }
    }
}
