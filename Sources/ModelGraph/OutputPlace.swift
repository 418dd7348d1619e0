import Foundation

/// What stands at the path that is to be written to.
package enum OutputPlace: Equatable {
    /// A file, or nothing yet: it is replaced as a whole.
    case file
    /// A device or a pipe: it takes the bytes as they come.
    case stream
    /// An open file of this process, as /dev/stdout is: the bytes go where it stands.
    case descriptor(Int32)

    /// - Throws: `ModelGraphError` for what holds no bytes of a file: a folder, a socket, a disk.
    package init(_ path: String) throws(ModelGraphError) {
        var place = path
        // As many links as the system follows.
        for _ in 0..<40 {
            if let number = Self.ownDescriptor(place) {
                self = .descriptor(number)
                return
            }
            var status = stat()
            guard lstat(place, &status) == 0 else {
                self = .file
                return
            }
            switch status.st_mode & S_IFMT {
            case S_IFREG:
                self = .file
                return
            case S_IFCHR, S_IFIFO:
                self = .stream
                return
            case S_IFLNK:
                guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: place) else {
                    throw ModelGraphError(.file, "\(path): the link cannot be followed")
                }
                place = target.hasPrefix("/") || place.folder.isEmpty ? target : "\(place.folder)/\(target)"
            case S_IFDIR: throw ModelGraphError(.file, "\(path): is a folder, expected a file")
            default: throw ModelGraphError(.file, "\(path): is neither a file nor a pipe nor a character device")
            }
        }
        throw ModelGraphError(.file, "\(path): links that lead to each other")
    }

    /// The number of an open file of this process that the path names, in whatever spelling.
    private static func ownDescriptor(_ path: String) -> Int32? {
        let folder = path.folder
        guard let resolved = RealPath.of(folder.isEmpty ? "." : folder), resolved == "/proc/\(getpid())/fd" else { return nil }
        return path.split(separator: "/").last.flatMap { Int32($0) }
    }
}

/// Paths with every link in them followed.
enum RealPath {
    /// `nil` where there is nothing.
    static func of(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
