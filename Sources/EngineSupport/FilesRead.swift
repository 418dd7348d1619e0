import Foundation

/// The files that a command reads, to hold against those that it is about to write: by what they are on disk, whatever paths lead to them.
public struct FilesRead: Sendable {
    private var whatIs: [FileIdentity: String] = [:]

    public init() {}

    /// - Parameter what: how a message calls the file; the first name stays.
    public mutating func add(_ path: String?, _ what: String) {
        guard let identity = path.flatMap(FileIdentity.init) else { return }
        whatIs[identity] = whatIs[identity] ?? what
    }

    /// - Parameter read: called only if there is a file that could be replaced.
    /// - Throws: `EngineError` naming the output that would replace a file that is read, or another output.
    public static func check(_ outputs: [String], against read: () -> FilesRead) throws(EngineError) {
        let written = outputs.filter { !isStream($0) }
        for (place, path) in written.enumerated() {
            if let other = written[..<place].first(where: { Place($0) == Place(path) }) {
                throw EngineError(.data, "\(path): would overwrite \(other == path ? "another output of that name" : "another output, \(other)")")
            }
        }
        let existing = written.compactMap { path in FileIdentity(path: path).map { (path, $0) } }
        guard !existing.isEmpty else { return }
        let files = read()
        for (path, identity) in existing {
            if let what = files.whatIs[identity] { throw EngineError(.data, "\(path): would overwrite \(what)") }
        }
    }

    /// Where a file is, or where one will be.
    private enum Place: Hashable {
        case file(FileIdentity)
        case new(folder: FileIdentity?, name: Substring)

        init(_ path: String) {
            if let identity = FileIdentity(path: path) {
                self = .file(identity)
                return
            }
            let name = path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...]
            let folder = path.dropLast(name.count)
            self = .new(folder: FileIdentity(path: folder.isEmpty ? "." : String(folder)), name: name)
        }
    }

    /// Devices and pipes take what comes; nothing in them is replaced.
    private static func isStream(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && [S_IFCHR, S_IFIFO].contains(status.st_mode & S_IFMT)
    }
}
