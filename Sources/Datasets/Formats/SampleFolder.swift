import EngineSupport
import Foundation

/// Files of which each is one sample.
struct SampleFileKind: Sendable {
    /// Lower case, without the dot.
    var extensions: Set<String>
    /// For messages, in the plural.
    var name: String

    static let images = SampleFileKind(extensions: ImageDecoding.extensions, name: "PNG or JPEG images")
    static let sounds = SampleFileKind(extensions: SoundDecoding.extensions, name: "WAV or FLAC files")

    /// Whether a file is of the kind by its name.
    func contains(_ name: some StringProtocol) -> Bool {
        guard let dot = name.lastIndex(of: ".") else { return false }
        return extensions.contains(name[name.index(after: dot)...].lowercased())
    }
}

/// A folder with one sub-folder of files per class, or of files alone (then without labels).
struct SampleFolder: Sendable {
    let path: String
    /// Names of the sub-folders in text order; empty if the files lie in the folder itself.
    let classNames: [String]
    /// Paths, by class and then by name, in text order.
    let files: [String]
    /// Index into `classNames` per file.
    let classOfFile: [Int]

    /// Lists the files; does not read them. Those of another kind by name, and hidden ones, are passed over.
    init(path: String, of kind: SampleFileKind = .images) throws(EngineError) {
        self.path = path
        let entries = try Self.list(path)
        var classNames: [String] = []
        var files: [String] = []
        var classOfFile: [Int] = []
        for folder in entries where InputFile.isDirectory(path + "/" + folder) {
            let samples = try Self.list(path + "/" + folder).filter(kind.contains)
            guard !samples.isEmpty else { continue }
            files += samples.map { "\(path)/\(folder)/\($0)" }
            classOfFile += Array(repeating: classNames.count, count: samples.count)
            classNames.append(folder)
        }
        if classNames.isEmpty {
            files = entries.filter(kind.contains).map { "\(path)/\($0)" }
            classOfFile = []
        }
        guard !files.isEmpty else { throw EngineError(.data, "\(path): no \(kind.name), in sub-folders or in the folder itself") }
        self.classNames = classNames
        self.files = files
        self.classOfFile = classOfFile
    }

    /// Names without hidden ones, in the order of their bytes, which does not depend on the locale.
    static func list(_ path: String) throws(EngineError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        } catch {
            throw EngineError(.data, InputFile.exists(path) ? "\(path): the folder cannot be read" : "\(path): no such folder")
        }
    }
}
