import EngineSupport
import Foundation
import Metrics

/// Opens what a user names as data.
public enum DatasetLoader {
    /// Opens a data set:
    /// - a `.yaml` or `.yml` declaration (Docs/DataSets.md);
    /// - an `.npz` whose arrays bear the names of the model's inputs, plus `labels`; an `.npy` for a model of one input;
    /// - a `.csv` with a header line and, if there are labels, a column `label`, `labels`, `class` or `target`;
    /// - a folder with IDX files under their MNIST names, plain or gzip;
    /// - a folder of images, with one sub-folder per class.
    ///
    /// Headers and labels are read now, samples when they are first used.
    /// - Parameters:
    ///   - inputs: the model's inputs, in its order, with what is known of their types and shapes.
    ///   - metric: overrides what the data set declares.
    /// - Throws: `EngineError` in one line.
    public static func open(path: String, inputs: [ModelInputDescription], metric: MetricKind? = nil) throws -> Dataset {
        var declaration = try declaration(for: path, inputs: inputs)
        if let metric { declaration.declaration.metric = metric }
        return try DatasetAssembly(declaration.declaration, path: path, inputs: inputs, notes: declaration.notes).dataset()
    }

    /// As `open(path:inputs:metric:)` when only the inputs' names are known.
    public static func open(path: String, inputNames: [String], metric: MetricKind? = nil) throws -> Dataset {
        try open(path: path, inputs: inputNames.map { ModelInputDescription(name: $0) }, metric: metric)
    }

    /// Opens a declaration made in code.
    public static func open(_ declaration: DatasetDeclaration, inputs: [ModelInputDescription]) throws -> Dataset {
        try DatasetAssembly(declaration, path: declaration.file, inputs: inputs, notes: []).dataset()
    }

    /// The files that `open` reads, of all splits: the path itself, what it declares, and images of folders.
    public static func files(of path: String) throws -> [String] {
        let declaration = try declaration(for: path, inputs: []).declaration
        let sources = (declaration.source.map { [$0] } ?? []) + declaration.splits.values
        return try [path]
            + sources.flatMap { source in
                try source.files.everyFile()
            }
    }

    private static func declaration(for path: String, inputs: [ModelInputDescription]) throws -> (declaration: DatasetDeclaration, notes: [String]) {
        guard InputFile.exists(path) else { throw EngineError(.data, "\(path): no such file or folder") }
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        let fileName = trimmed.split(separator: "/").last.map(String.init) ?? trimmed
        let name = fileName.lastIndex(of: ".").map { String(fileName[..<$0]) } ?? fileName
        if InputFile.isDirectory(trimmed) { return try folder(trimmed, name: fileName) }
        func source(_ format: DatasetDeclaration.Format, _ files: DatasetDeclaration.Files) -> DatasetDeclaration {
            DatasetDeclaration(name: name, format: format, source: DatasetDeclaration.Split(files: files))
        }
        switch fileName.lowercased().split(separator: ".").last ?? "" {
        case "yaml", "yml": return (try .read(path: trimmed), [])
        case "npz", "npy": return (source(.npz, .npz(file: trimmed, array: nil, labels: nil)), [])
        case "csv", "tsv": return (source(.csv, .csv(file: trimmed, label: nil)), [])
        default:
            throw EngineError(
                .data, "\(path): expected a .yaml declaration, .npz, .npy or .csv, or a folder of IDX files or of images per class")
        }
    }

    /// Pixels of a folder without a declaration go to 0…1: the commonest convention, and said in a note.
    private static let assumedPixels = Preprocessing(scale: 1.0 / 255)

    private static func folder(_ path: String, name: String) throws -> (declaration: DatasetDeclaration, notes: [String]) {
        let note = "no preprocessing declared: pixels are scaled to 0…1; a YAML declaration can say otherwise"
        let idx = try MNISTFolder(path: path)
        guard idx.hasAny else {
            let source = DatasetDeclaration.Split(files: .images(folder: path))
            return (DatasetDeclaration(name: name, format: .images, preprocessing: assumedPixels, source: source), [note])
        }
        var declaration = DatasetDeclaration(name: name, format: .idx, preprocessing: assumedPixels)
        try idx.declareSplits(in: &declaration)
        return (declaration, [note])
    }
}

/// The four files of MNIST and its kin in one folder.
private struct MNISTFolder {
    private let found: [String: String]
    private let path: String

    var hasAny: Bool { !found.isEmpty }

    init(path: String) throws {
        self.path = path
        var found: [String: String] = [:]
        for name in try SampleFolder.list(path) {
            let plain = name.hasSuffix(".gz") ? String(name.dropLast(3)) : name
            // Unpackers of other systems leave a dot where the original has a hyphen.
            let key = plain.replacingOccurrences(of: ".", with: "-")
            if Self.names.contains(key), found[key] == nil { found[key] = path + "/" + name }
        }
        self.found = found
    }

    private static let names: Set<String> = [
        "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
    ]

    /// With both parts: validation is the first 80 % of the t10k files and test the rest, calibration the last sixtieth of
    /// the train files, train the rest of them. With one part only: that part is divided by a seeded shuffle.
    func declareSplits(in declaration: inout DatasetDeclaration) throws {
        func files(_ part: String) throws -> DatasetDeclaration.Files? {
            guard let images = found["\(part)-images-idx3-ubyte"] else {
                if let labels = found["\(part)-labels-idx1-ubyte"] { throw EngineError(.data, "\(labels): the images that belong to it are missing") }
                return nil
            }
            return .idx(images: images, labels: found["\(part)-labels-idx1-ubyte"])
        }
        switch (try files("train"), try files("t10k")) {
        case (let train?, let held?):
            let trainCount = try IDXFile(path: train.paths[0]).shape[0]
            let heldCount = try IDXFile(path: held.paths[0]).shape[0]
            let calibration = max(1, trainCount / 60)
            let test = heldCount / 5
            guard trainCount > calibration, heldCount > test, test > 0 else {
                declaration.source = DatasetDeclaration.Split(files: held)
                return
            }
            declaration.splits = [
                .train: DatasetDeclaration.Split(files: train, range: 0..<trainCount - calibration),
                .calibration: DatasetDeclaration.Split(files: train, range: trainCount - calibration..<trainCount),
                .validation: DatasetDeclaration.Split(files: held, range: 0..<heldCount - test),
                .test: DatasetDeclaration.Split(files: held, range: heldCount - test..<heldCount),
            ]
        case (nil, let only?), (let only?, nil): declaration.source = DatasetDeclaration.Split(files: only)
        case (nil, nil): break
        }
    }
}
