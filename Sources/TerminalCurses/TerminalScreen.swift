import CNcurses
import CTerminalGuard
import Foundation
import TerminalCells

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The terminal: paints cell grids and delivers input. The only one who knows curses.
///
/// One per process, used by one thread (the one that opened it); other threads only `wake` it. While it is open, standard
/// output and error go to a log when they are the terminal. Whatever ends the process gives the terminal back.
///
/// ```swift
/// TerminalScreen.prepareProcess()                 // first thing in main, before any thread
/// let screen = try TerminalScreen()
/// defer { screen.close() }
/// screen.paint(view(model))                       // a CellGrid of screen.size
/// while let events = try screen.nextEvents(timeout: 0.1) { ... }
/// ```
public final class TerminalScreen {
    /// Glyphs and colors the terminal shows.
    public let theme: Theme
    /// Cells of the terminal.
    public private(set) var size: Size
    public let waker = TerminalWaker()
    public private(set) var isMouseEnabled = false

    private let input: Int32
    private let output: Int32
    private let inputFile: UnsafeMutablePointer<FILE>
    private let outputFile: UnsafeMutablePointer<FILE>
    private let screen: OpaquePointer
    private var decoder: InputDecoder
    private var painter: CellPainter
    private var painted: CellGrid?
    private var capture = OutputCapture()
    private var isOpen = true
    private let modes: TerminalModes

    /// Blocks the signals that only the terminal thread may take. Call it before any thread is started.
    public static func prepareProcess() { lathe_guard_block_signals() }

    /// Whether standard input and output are terminals, so that an interface can be shown at all.
    public static var isInteractive: Bool { isatty(0) == 1 && isatty(1) == 1 }

    /// Brings a terminal back that a killed program left in its own modes.
    /// - Throws: where standard output is no terminal that is known.
    public static func reset() throws(TerminalError) { try TerminalModes.reset() }

    /// Takes the terminal of standard input and output over.
    ///
    /// - Throws: `TerminalError` when there is no terminal, its type is unknown, or it cannot position the cursor.
    public init(options: TerminalOptions = TerminalOptions(), environment: [String: String]? = nil)
        throws(TerminalError)
    {
        let environment = environment ?? Self.processEnvironment()
        guard isatty(1) == 1 else { throw TerminalError("standard output is not a terminal") }
        guard isatty(0) == 1 else { throw TerminalError("standard input is not a terminal") }
        guard let term = environment["TERM"], !term.isEmpty else {
            throw TerminalError("the environment variable TERM is not set: it names the type of the terminal")
        }
        Self.setLocale(wanted: options.glyphTier)

        // Copies, because 0 and 1 may be pointed elsewhere while the screen is open.
        input = fcntl(0, F_DUPFD_CLOEXEC, 3)
        output = fcntl(1, F_DUPFD_CLOEXEC, 3)
        guard input >= 0, output >= 0, let inputFile = fdopen(input, "r"), let outputFile = fdopen(output, "w") else {
            throw TerminalError("cannot use the terminal: \(String(cString: strerror(errno)))")
        }
        self.inputFile = inputFile
        self.outputFile = outputFile

        // Ours first: curses installs handlers only for signals that have none.
        var failure = lathe_guard_install()
        if failure == 0 { failure = lathe_guard_save_modes(output) }
        guard failure == 0 else {
            throw TerminalError("cannot watch the terminal: \(String(cString: strerror(failure)))")
        }

        let wantsTruecolor =
            options.colorTier.map { $0 == .truecolor }
            ?? (TerminalDetection.colorTier(environment: environment, colors: 256) == .truecolor)
        guard
            let screen = DirectColor.newTerminal(
                type: term, wantsDirectColor: wantsTruecolor, environment: environment, output: outputFile,
                input: inputFile)
        else {
            throw TerminalError(
                "unknown terminal type '\(term)': set TERM to one that is installed, such as xterm-256color")
        }
        self.screen = screen
        let foundModes = TerminalModes(term: term)
        modes = foundModes
        guard lathe_capability("cup") != nil else {
            endwin()
            delscreen(screen)
            throw TerminalError("terminal type '\(term)' cannot position the cursor; set TERM to what your terminal is")
        }

        lathe_guard_set_restore_text(foundModes.restoreText, foundModes.restoreText.utf8.count)
        _ = lathe_guard_capture_output()

        raw()
        noecho()
        nonl()
        set_escdelay(25)
        curs_set(0)
        let colors: Int
        if has_colors() {
            start_color()
            use_default_colors()
            colors = Int(lathe_colors())
        } else {
            colors = 0
        }
        var colorTier = options.colorTier ?? TerminalDetection.colorTier(environment: environment, colors: colors)
        colorTier = Self.supported(colorTier, colors: colors)
        let isUTF8 = String(cString: lathe_codeset()) == "UTF-8"
        var glyphTier = options.glyphTier ?? TerminalDetection.glyphTier(term: term, isUTF8: isUTF8)
        // Curses cannot write what the locale cannot express; it would leave blanks.
        if !isUTF8 { glyphTier = .ascii }
        theme = Theme(glyphTier: glyphTier, colorTier: colorTier)
        painter = CellPainter(palette: Palette(tier: colorTier))
        guard let decoder = InputDecoder() else {
            endwin()
            throw TerminalError("cannot use the terminal: out of memory")
        }
        self.decoder = decoder
        size = Size(width: Int(lathe_columns()), height: Int(lathe_lines()))
        // LINES and COLUMNS of the environment may be those of another window.
        _ = resize()
        mouseinterval(0)
        // The first refresh switches to the alternate screen; what follows needs to be there.
        lathe_guard_set_active(1)
        refresh()
        modes.enable(on: output)
        setMouse(enabled: options.usesMouse)
    }

    /// What this terminal cannot show is reduced to what it can.
    private static func supported(_ tier: ColorTier, colors: Int) -> ColorTier {
        switch tier {
        case .truecolor where colors >= 1 << 24: .truecolor
        // A direct-color terminal has no indexed colors beyond the first eight.
        case .indexed where colors >= 1 << 24: .truecolor
        case .truecolor where colors >= 256, .indexed where colors >= 256: .indexed
        case .truecolor, .indexed: colors >= 8 ? .sixteen : .mono
        case .sixteen: colors >= 8 ? .sixteen : .mono
        case .mono: .mono
        }
    }

    /// Takes the user's locale for characters, never for numbers: C libraries would read "0,5" for 0.5.
    private static func setLocale(wanted: GlyphTier?) {
        setlocale(LC_ALL, "")
        setlocale(LC_NUMERIC, "C")
        // Asked for explicitly: the user knows the terminal is UTF-8, though the locale does not say so.
        if let wanted, wanted != .ascii, String(cString: lathe_codeset()) != "UTF-8" {
            for name in ["C.UTF-8", "C.utf8", "en_US.UTF-8"] where setlocale(LC_CTYPE, name) != nil { break }
        }
    }

    private static func processEnvironment() -> [String: String] {
        var result: [String: String] = [:]
        for name in ["TERM", "COLORTERM", "NO_COLOR", "TERMINFO", "TERMINFO_DIRS", "HOME"] {
            if let value = getenv(name) { result[name] = String(cString: value) }
        }
        return result
    }

    deinit { close() }

    // MARK: - Output

    /// Shows a grid. Only what differs from the one shown before is sent.
    public func paint(_ grid: CellGrid) {
        guard isOpen else { return }
        let window = lathe_stdscr()
        if painted?.size != grid.size { werase(window) }
        for run in grid.changes(from: painted) {
            painter.paint(run, on: window, columns: size.width, rows: size.height)
        }
        painted = grid
        // Invisible, but input methods follow it.
        if let cursor = grid.cursor { wmove(window, Int32(cursor.y), Int32(cursor.x)) }
        wnoutrefresh(window)
        modes.beginFrame(on: output)
        doupdate()
        modes.endFrame(on: output)
    }

    /// Paints with fewer colors than the terminal has, or with all of them again.
    public func setColors(_ tier: ColorTier) {
        guard isOpen else { return }
        painter = CellPainter(palette: Palette(tier: Self.supported(tier, colors: has_colors() ? Int(lathe_colors()) : 0)))
        invalidate()
    }

    /// Sends the whole picture again with the next `paint`, after something else has written on the terminal.
    public func invalidate() {
        painted = nil
        clearok(lathe_stdscr(), true)
    }

    /// The bell.
    public func ring() {
        if isOpen { beep() }
    }

    // MARK: - Input

    /// Waits for input, a change of size, a `wake`, or the timeout (in seconds; nil waits for ever), whichever comes first, and
    /// returns what there is; empty after a wake or the timeout.
    ///
    /// `^Z` comes as the key `ctrl-z`: answer it with `suspend()`. `^C` comes as `ctrl-c`.
    /// - Throws: `TerminalError` when the terminal is gone.
    public func nextEvents(timeout: Double?) throws(TerminalError) -> [InputEvent] {
        guard isOpen else { throw TerminalError("the terminal is closed") }
        // Curses may hold bytes it has read and not delivered.
        var events = decoder.read()
        if !events.isEmpty { return events }
        let milliseconds = timeout.map { Int32(min(max(0, $0), 86400) * 1000) } ?? -1
        let happened = Int(lathe_guard_wait(input, milliseconds))
        if happened & LATHE_WAIT_SUSPEND != 0 { events += stop(wholeGroup: false) }
        if happened & LATHE_WAIT_CONTINUE != 0 { events += resume() }
        if happened & LATHE_WAIT_RESIZE != 0 { events += resize() }
        if happened & LATHE_WAIT_INPUT != 0 {
            let typed = decoder.read()
            if typed.isEmpty, happened & LATHE_WAIT_LOST != 0 { throw TerminalError("the terminal is gone") }
            events += typed
        } else if happened & LATHE_WAIT_LOST != 0 {
            throw TerminalError("the terminal is gone")
        }
        return events
    }

    /// Whether `copy` can work: the terminal knows control sequences of today. Whether it also lets programs use the
    /// clipboard is the user's setting there and cannot be asked.
    public var canCopy: Bool { modes.isModern }

    /// Puts text on the system's clipboard (OSC 52), over SSH too.
    /// - Returns: false when the terminal cannot or the text is longer than terminals take.
    public func copy(_ text: String) -> Bool {
        guard isOpen, canCopy, text.utf8.count <= 50_000 else { return false }
        let sequence = Array("\u{1B}]52;c;\(Data(text.utf8).base64EncodedString())\u{07}".utf8).map { CChar(bitPattern: $0) }
        lathe_guard_write(output, sequence, sequence.count)
        return true
    }

    /// Switches mouse reports on or off.
    public func setMouse(enabled: Bool) {
        isMouseEnabled = enabled
        mousemask(enabled ? lathe_mouse_all() : 0, nil)
        modes.setDragReports(enabled, on: output)
    }

    private func resize() -> [InputEvent] {
        var columns: Int32 = 0
        var rows: Int32 = 0
        guard lathe_guard_size(output, &columns, &rows) == 0, columns > 0, rows > 0 else { return [] }
        let new = Size(width: Int(columns), height: Int(rows))
        guard new != size else { return [] }
        resizeterm(rows, columns)
        size = new
        painted = nil
        return [.resize(new)]
    }

    // MARK: - Leaving and coming back

    /// Gives the terminal to the shell, as `^Z` does; returns when the shell brings the program back to the foreground.
    /// Returns a resize event when the size has changed meanwhile. The next `paint` draws everything.
    @discardableResult
    public func suspend() -> [InputEvent] { stop(wholeGroup: true) }

    private func stop(wholeGroup: Bool) -> [InputEvent] {
        guard isOpen else { return [] }
        release()
        // `make` and shells in between stop with us, as they would if the terminal driver had done it.
        lathe_guard_stop(wholeGroup ? 1 : 0)
        return resume()
    }

    /// Puts the terminal back as it was before.
    private func release() {
        modes.setDragReports(false, on: output)
        modes.disable(on: output)
        mousemask(0, nil)
        endwin()
        lathe_guard_set_active(0)
    }

    private func resume() -> [InputEvent] {
        lathe_guard_set_active(1)
        // Another program may have left other modes; leaving curses first makes the refresh set all of ours.
        if !isendwin() { endwin() }
        invalidate()
        refresh()
        curs_set(0)
        modes.enable(on: output)
        setMouse(enabled: isMouseEnabled)
        return resize()
    }

    /// Lines that libraries wrote to standard output and error since the last call.
    public func capturedLines() -> [String] { isOpen ? capture.newLines() : [] }

    /// Gives the terminal back. What was captured and not read goes to the real standard error. Twice does no harm.
    public func close() {
        guard isOpen else { return }
        release()
        isOpen = false
        decoder.close()
        delscreen(screen)
        lathe_guard_flush_output()
        let lines = capture.newLines() + [capture.rest()].compactMap { $0 }
        lathe_guard_release_output()
        for line in lines {
            let bytes = Array((line + "\n").utf8).map { CChar(bitPattern: $0) }
            lathe_guard_write(2, bytes, bytes.count)
        }
        // Closes the duplicated descriptors, too.
        fclose(inputFile)
        fclose(outputFile)
    }
}
