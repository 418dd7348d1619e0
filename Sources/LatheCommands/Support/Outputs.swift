import EngineSupport
import Foundation
import ModelGraph

/// The files that a command is about to write, looked at before its work begins.
enum Outputs {
    /// - Parameter read: the files that the command reads.
    /// - Throws: an error that names the output which would replace one of those, or which nothing can be written to.
    static func check(_ paths: [String?], against read: () -> FilesRead) throws {
        let paths = paths.compactMap(\.self)
        for path in paths { if try OutputPlace(path) == .descriptor(STDOUT_FILENO) { Console.leaveOutputToFile() } }
        try FilesRead.check(paths, against: read)
    }
}
