/// A value in a range, with its default marked and its text at the right.
///
/// While the user types a number, set `entry`: the field then takes the place of the text.
public struct Slider: Widget, Hashable, Sendable {
    public var value: Double
    public var range: ClosedRange<Double>
    public var defaultValue: Double?
    /// The value as it is written, unit included.
    public var text: String
    public var entry: TextField?
    public var isFocused: Bool
    public var isDisabled: Bool

    public init(
        value: Double, range: ClosedRange<Double>, defaultValue: Double? = nil, text: String, entry: TextField? = nil,
        isFocused: Bool = false, isDisabled: Bool = false
    ) {
        self.value = value
        self.range = range
        self.defaultValue = defaultValue
        self.text = text
        self.entry = entry
        self.isFocused = isFocused
        self.isDisabled = isDisabled
    }

    /// The width kept for the text at the right end.
    private func textWidth(in width: Int) -> Int { min(max(8, DisplayWidth.of(text)), width / 2) }

    /// The value at screen column `x` of `rect`, for the mouse; nil on the text.
    public func value(atX x: Int, in rect: Rect) -> Double? {
        let track = rect.width - textWidth(in: rect.width) - 1
        guard track > 1, x >= rect.x, x < rect.x + track else { return nil }
        return range.lowerBound + (range.upperBound - range.lowerBound) * Double(x - rect.x) / Double(track - 1)
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let textWidth = textWidth(in: rect.width)
        let track = rect.row(0).inset(right: textWidth + 1)
        let look: Style = isDisabled ? .disabled : (isFocused ? Style(.accent, .bold) : .accent)
        func column(_ value: Double) -> Int {
            let share = ElementaryMath.share(value, low: range.lowerBound, high: range.upperBound)
            return Int((share * Double(track.width - 1)).rounded())
        }
        if track.width >= 3 {
            grid.fill(track, with: glyphs.sliderTrack, style: .muted)
            let knob = column(value)
            grid.fill(Rect(x: track.x, y: track.y, width: knob, height: 1), with: glyphs.sliderFill, style: look)
            if let defaultValue {
                grid.put(
                    glyphs.sliderDefault, at: Point(x: track.x + column(defaultValue), y: track.y), style: .standard)
            }
            grid.put(glyphs.sliderKnob, at: Point(x: track.x + knob, y: track.y), style: look.adding(.bold))
        }
        let place = Rect(x: rect.maxX - textWidth, y: rect.y, width: textWidth, height: 1)
        if let entry {
            grid.draw(entry, in: place, theme: theme)
        } else {
            let isDefault = defaultValue.map { $0 == value } ?? true
            let style: Style = isDisabled ? .disabled : (isDefault ? .standard : Style(.modified, .bold))
            grid.put(StyledLine(text, style), in: place, alignment: .right)
        }
    }
}
