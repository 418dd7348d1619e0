import Foundation

/// Writes a session's lines to a file as they come, so that a crash loses nothing, and reads them back.
public final class SessionLogWriter {
    public let path: String
    private let handle: FileHandle

    /// - Throws: `SettingsError` naming the file when it cannot be made.
    public init(path: String) throws(SettingsError) {
        let url = URL(fileURLWithPath: path)
        // Where it cannot be made, neither can the file.
        try? FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        guard FileManager.default.createFile(atPath: path, contents: nil), let handle = FileHandle(forWritingAtPath: path) else {
            throw SettingsError("\(path): the session log cannot be written")
        }
        self.path = path
        self.handle = handle
    }

    public func write(_ line: SessionLine) { try? handle.write(contentsOf: Data((line.json + "\n").utf8)) }

    public func close() { try? handle.close() }
}

/// A session log read back.
public struct SessionLog: Sendable {
    public static let version = 1
    public var header: SessionLine
    /// All lines but the first.
    public var lines: [SessionLine]

    /// - Throws: `SettingsError` naming the file and line. A last line cut off by a crash is left out.
    public init(text: String, file: String) throws(SettingsError) {
        var read: [SessionLine] = []
        let texts = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (number, line) in texts.enumerated() where !line.isEmpty {
            do {
                read.append(try SessionLine(json: String(line)))
            } catch {
                if number == texts.count - 1 { break }
                throw SettingsError("\(file), line \(number + 1): not a line of a session log")
            }
        }
        guard let header = read.first, let version = header.lathe else {
            throw SettingsError("\(file): not a session log (the first line has no \"lathe\" version)")
        }
        guard version <= Self.version else {
            throw SettingsError("\(file): session log of version \(version); this program reads up to \(Self.version)")
        }
        self.header = header
        lines = Array(read.dropFirst())
    }

    /// The first line alone, of a log that may be long; `nil` where there is none.
    static func header(path: String) -> SessionLine? {
        guard let handle = FileHandle(forReadingAtPath: path), let head = try? handle.read(upToCount: 1 << 14) else { return nil }
        return String(decoding: head, as: UTF8.self).split(separator: "\n").first.flatMap { try? SessionLine(json: String($0)) }
    }

    public static func read(path: String) throws(SettingsError) -> SessionLog {
        guard let data = FileManager.default.contents(atPath: path) else { throw SettingsError("\(path): cannot be read") }
        return try SessionLog(text: String(decoding: data, as: UTF8.self), file: path)
    }
}
