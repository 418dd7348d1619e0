import CTerminalGuard
import Foundation
import TerminalCells
import Testing

@testable import TerminalCurses

@Suite struct DetectionTests {
    @Test func colorsFollowTheEnvironment() {
        func tier(_ environment: [String: String], _ colors: Int) -> ColorTier {
            TerminalDetection.colorTier(environment: environment, colors: colors)
        }
        #expect(tier([:], 256) == .indexed)
        #expect(tier([:], 8) == .sixteen)
        #expect(tier([:], 0) == .mono)
        #expect(tier([:], 1 << 24) == .truecolor)
        #expect(tier(["COLORTERM": "truecolor"], 256) == .truecolor)
        // no-color.org: present and not empty, whatever else is said.
        #expect(tier(["NO_COLOR": "1", "COLORTERM": "truecolor"], 256) == .mono)
        #expect(tier(["NO_COLOR": ""], 256) == .indexed)
    }

    @Test func glyphsFollowLocaleAndTerminal() {
        #expect(TerminalDetection.glyphTier(term: "xterm-256color", isUTF8: true) == .braille)
        #expect(TerminalDetection.glyphTier(term: "xterm-256color", isUTF8: false) == .ascii)
        #expect(TerminalDetection.glyphTier(term: "linux", isUTF8: true) == .ascii)
        #expect(TerminalDetection.glyphTier(term: "vt100", isUTF8: true) == .ascii)
    }

    @Test func delaysAreTakenOutOfCapabilities() {
        #expect(TerminalModes.withoutPadding("\u{1B}[?5h$<100/>\u{1B}[?5l") == "\u{1B}[?5h\u{1B}[?5l")
        #expect(TerminalModes.withoutPadding("plain$") == "plain$")
        #expect(TerminalModes.withoutPadding("cut$<5") == "cut")
    }
}

@Suite struct TerminfoTests {
    private static let folders = ["/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"]

    private static func infocmp(_ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["infocmp"] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    /// Every description installed here survives being taken apart and put together, as infocmp reads it.
    @Test func everyInstalledDescriptionSurvives() throws {
        var seen = 0
        let temporary = FileManager.default.temporaryDirectory.appendingPathComponent("terminfo-\(UUID())")
        defer { try? FileManager.default.removeItem(at: temporary) }
        for folder in Self.folders {
            for path in (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? [] {
                // Descriptions lie in folders of one letter; what lies beside them is something else.
                guard path.contains("/"), let bytes = FileManager.default.contents(atPath: folder + "/" + path) else {
                    continue
                }
                let name = URL(fileURLWithPath: path).lastPathComponent
                let entry = try #require(TerminfoEntry(compiled: Array(bytes)), "\(path)")
                let place = temporary.appendingPathComponent(path)
                try FileManager.default.createDirectory(
                    at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(entry.compiled).write(to: place)
                // Only the line that names the file may differ.
                let original = try Self.infocmp(["-x1", "-A", folder, name]).split(separator: "\n").dropFirst()
                let rewritten = try Self.infocmp(["-x1", "-A", temporary.path, name]).split(separator: "\n").dropFirst()
                #expect(!original.isEmpty && Array(original) == Array(rewritten), "\(path)")
                seen += 1
            }
        }
        #expect(seen > 0)
    }

    @Test func directColorAddsOnlyWhatItShould() throws {
        let entry = try #require(TerminfoEntry.find(type: "xterm-256color", environment: [:]))
        let direct = try #require(entry.withDirectColor())
        let temporary = FileManager.default.temporaryDirectory.appendingPathComponent("terminfo-\(UUID())")
        defer { try? FileManager.default.removeItem(at: temporary) }
        try FileManager.default.createDirectory(
            at: temporary.appendingPathComponent("x"), withIntermediateDirectories: true)
        try Data(direct.compiled).write(to: temporary.appendingPathComponent("x/xterm-256color"))
        func capabilities(_ text: String) -> Set<String> {
            Set(text.split(separator: "\n").dropFirst().map { $0.trimmingCharacters(in: .whitespaces) })
        }
        let before = capabilities(try Self.infocmp(["-x1", "xterm-256color"]))
        let after = capabilities(try Self.infocmp(["-x1", "-A", temporary.path, "xterm-256color"]))
        #expect(
            after.subtracting(before).map { $0.prefix { $0.isLetter || $0.isNumber } }.sorted() == [
                "RGB", "colors", "setab", "setaf",
            ])
        #expect(after.contains("RGB,") && after.contains("colors#0x1000000,"))
        #expect(!after.contains("ccc,"))
    }

    /// A damaged description is refused or read, never a crash.
    @Test func damagedDescriptionsAreHarmless() throws {
        let bytes = try #require(TerminfoEntry.find(type: "xterm-256color", environment: [:])).compiled
        for length in 0..<bytes.count { _ = TerminfoEntry(compiled: Array(bytes[..<length])).map(\.compiled) }
        var state: UInt64 = 99
        for _ in 0..<3000 {
            var damaged = bytes
            for _ in 0..<4 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                damaged[Int(state >> 33) % (state & 1 == 0 ? damaged.count : 12)] = UInt8(
                    truncatingIfNeeded: state >> 20)
            }
            if let entry = TerminfoEntry(compiled: damaged) { _ = entry.withDirectColor()?.compiled }
        }
        #expect(TerminfoEntry(compiled: []) == nil)
        #expect(TerminfoEntry.find(type: "../../etc/passwd", environment: [:]) == nil)
    }
}

/// One test, because signals and the wake pipe belong to the process.
@Suite struct GuardTests {
    @Test func waitsTellWhatHappened() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { ends.forEach { close($0) } }
        try #require(lathe_guard_install() == 0)
        #expect(lathe_guard_wait(ends[0], 0) == 0)
        // A wake before the wait is kept; several are one.
        for _ in 0..<100_000 { lathe_guard_wake() }
        #expect(Int(lathe_guard_wait(ends[0], 1000)) == LATHE_WAIT_WAKE)
        #expect(lathe_guard_wait(ends[0], 0) == 0)
        #expect(write(ends[1], "x", 1) == 1)
        #expect(Int(lathe_guard_wait(ends[0], 1000)) == LATHE_WAIT_INPUT)
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 1)
        // To this thread: blocked until the wait lets it through.
        pthread_kill(pthread_self(), SIGWINCH)
        #expect(Int(lathe_guard_wait(ends[0], 1000)) == LATHE_WAIT_RESIZE)
        close(ends[1])
        #expect(Int(lathe_guard_wait(ends[0], 1000)) & LATHE_WAIT_LOST != 0)
        ends[1] = dup(ends[0])
    }

    @Test func wakingEndsAWaitOfAnotherThread() throws {
        try #require(lathe_guard_install() == 0)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { ends.forEach { close($0) } }
        let start = ContinuousClock.now
        let waker = Thread {
            usleep(50_000)
            TerminalWaker().wake()
        }
        waker.start()
        #expect(Int(lathe_guard_wait(ends[0], 20_000)) == LATHE_WAIT_WAKE)
        #expect(start.duration(to: .now) < .seconds(15))
    }
}
