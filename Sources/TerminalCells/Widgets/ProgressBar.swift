/// A running job in one row: spinner, phase, bar, percentage, elapsed and remaining time.
///
/// Without a fraction only the spinner moves. Parts that do not fit are left out, the percentage last.
public struct ProgressBar: Widget, Hashable, Sendable {
    public var phase: String
    /// 0...1; nil when the length of the job is unknown.
    public var fraction: Double?
    /// Seconds since the start.
    public var elapsed: Double
    /// Seconds to go, when known.
    public var remaining: Double?
    /// Counts up; picks the frame of the spinner.
    public var tick: Int

    public init(phase: String, fraction: Double?, elapsed: Double, remaining: Double? = nil, tick: Int = 0) {
        self.phase = phase
        self.fraction = fraction
        self.elapsed = elapsed
        self.remaining = remaining
        self.tick = tick
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let spinner = glyphs.spinner[((tick % glyphs.spinner.count) + glyphs.spinner.count) % glyphs.spinner.count]
        grid.put(spinner, at: rect.origin, style: .accent)
        var right = StyledLine()
        let done = fraction.map { min(1, max(0, $0.isNaN ? 0 : $0)) }
        if let done {
            let percent = "\(Int(done * 100))%"
            right += Span(String(repeating: " ", count: 5 - percent.count) + percent, .bold)
        }
        var times = "  " + NumberFormat.duration(elapsed)
        if let remaining { times += ", " + NumberFormat.duration(remaining) + " left" }
        let room = rect.width - 2
        if right.width + times.count + min(12, phase.count) <= room { right += Span(times, .muted) }
        if right.width > room { right = StyledLine() }
        let body = rect.row(0).inset(left: 2, right: right.width)
        grid.put(right, in: rect.row(0), alignment: .right)
        // A bar shorter than eight columns tells nothing: the phase may have its room.
        let hasBar = done != nil && body.width - min(DisplayWidth.of(phase), body.width / 2) >= 9
        let phaseWidth = min(DisplayWidth.of(phase), hasBar ? max(body.width / 2, body.width - 32) : body.width - 1)
        grid.put(StyledLine(phase), in: Rect(x: body.x, y: body.y, width: phaseWidth, height: 1))
        let bar = body.inset(left: phaseWidth + 1)
        if let done, hasBar { grid.draw(Gauge(now: done, baseline: 1, maximum: 1), in: bar, theme: theme) }
    }
}
