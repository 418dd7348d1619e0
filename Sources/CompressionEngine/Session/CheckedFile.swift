import Foundation
import ModelGraph

/// Files of what can be made again, with a checksum at their end: one that is damaged counts as not there, so that none of its numbers is believed.
enum CheckedFile {
    private static let checksumLength = 32

    /// What was written; `nil` if there is no file, or another than was written.
    static func read(_ path: String) -> Data? {
        guard let data = FileManager.default.contents(atPath: path), data.count >= checksumLength else { return nil }
        let body = data.dropLast(checksumLength)
        return checksum(body) == String(decoding: data.suffix(checksumLength), as: UTF8.self) ? Data(body) : nil
    }

    /// Failure is no loss.
    static func write(_ body: Data, to path: String) {
        try? FileManager.default.createDirectory(atPath: path.folder, withIntermediateDirectories: true)
        try? AtomicFile.write(Array(body) + Array(checksum(body).utf8), to: path)
    }

    private static func checksum(_ body: Data) -> String {
        var hash = ContentHash()
        body.withUnsafeBytes { hash.combine(bytes: $0) }
        return hash.description
    }
}
