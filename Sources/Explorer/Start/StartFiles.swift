import Foundation

/// What there is to open: models and data sets below a folder, and what was opened before.
public struct StartFiles: Sendable {
    public struct Recent: Sendable, Hashable {
        public var model: String
        public var data: String?

        public init(model: String, data: String? = nil) { (self.model, self.data) = (model, data) }
    }

    /// Paths with their sizes in bytes, below the folder, by name.
    public var models: [(path: String, bytes: Int)] = []
    /// Declarations of data sets and NumPy archives below the folder.
    public var data: [String] = []
    /// The newest first, each model once; those that are gone are left out.
    public var recent: [Recent] = []

    public init() {}

    /// Folders deeper than this are not looked into, nor more files than this: a home folder has millions.
    static let (depth, most) = (4, 20_000)

    /// - Parameters:
    ///   - folder: where models are looked for; names in it are relative.
    ///   - logs: where session logs are kept.
    public init(folder: String, logs: String?) {
        var seen = 0
        // Breadth first: what is near comes before the limit is reached.
        var level = [""]
        for _ in 0..<Self.depth {
            var next: [String] = []
            for place in level {
                let path = place.isEmpty ? folder : folder + "/" + place
                for name in ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() where !name.hasPrefix(".") && seen < Self.most {
                    seen += 1
                    let relative = place.isEmpty ? name : place + "/" + name
                    guard let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/" + name) else { continue }
                    switch attributes[.type] as? FileAttributeType {
                    case .typeDirectory: if !["node_modules", "__pycache__"].contains(name) { next.append(relative) }
                    case .typeRegular, .typeSymbolicLink: add(relative, folder, bytes: attributes[.size] as? Int ?? 0)
                    default: break
                    }
                }
            }
            level = next
        }
        if let logs { recent = Self.recent(logs) }
    }

    private mutating func add(_ path: String, _ folder: String, bytes: Int) {
        switch (path as NSString).pathExtension.lowercased() {
        case "onnx": models.append((path, bytes))
        case "npz": data.append(path)
        case "yaml", "yml": if bytes < 1 << 20, Self.isDeclaration(folder + "/" + path) { data.append(path) }
        default: break
        }
    }

    /// Whether a YAML file declares a data set: a recipe, say, has no splits.
    private static func isDeclaration(_ path: String) -> Bool {
        guard let bytes = FileManager.default.contents(atPath: path) else { return false }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").contains { $0.hasPrefix("splits:") }
    }

    private static func recent(_ logs: String) -> [Recent] {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: logs)) ?? []).filter { $0.hasSuffix(".jsonl") }.sorted(by: >)
        var found: [Recent] = []
        for name in names where found.count < 10 {
            guard let header = SessionLog.header(path: logs + "/" + name), let model = header.model, model.hasPrefix("/"), !found.contains(where: { $0.model == model }),
                FileManager.default.fileExists(atPath: model)
            else { continue }
            found.append(Recent(model: model, data: header.data.flatMap { FileManager.default.fileExists(atPath: $0) ? $0 : nil }))
        }
        return found
    }

    /// Data sets, those nearest to a model first.
    public func data(near model: String) -> [String] {
        func shared(_ path: String) -> Int { zip(path.split(separator: "/"), model.split(separator: "/")).prefix { $0 == $1 }.count }
        return data.sorted { (shared($1), $0) < (shared($0), $1) }
    }
}
