import EngineSupport

/// What the files that somebody has are, told from names and first lines.
enum DraftFiles {
    /// Without a declaration of their own these say everything: what `--data` takes as it is.
    case arrays(file: String, labels: String?)
    case table(String)
    case idx(folder: String)
    case files(SampleFileKind, folder: String, labels: String?)
    case masks(folder: String, masks: DatasetDeclaration.Masks)
    case coco(annotations: String, folder: String)
    case yolo(labels: String, folder: String)
    case tokens(String)

    /// - Throws: `EngineError` if there is no telling, or a file that belongs to them is missing.
    init(_ paths: [String]) throws {
        let paths = paths.map { $0.count > 1 && $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
        for path in paths where !InputFile.exists(path) { throw EngineError(.data, "\(path): no such file or folder") }
        let folders = paths.filter { InputFile.isDirectory($0) }
        let files = paths.filter { !InputFile.isDirectory($0) }
        func named(_ extensions: String...) -> [String] { files.filter { file in extensions.contains { file.lowercased().hasSuffix("." + $0) } } }
        let known = named("npz", "npy", "csv", "tsv", "txt", "json", "jsonl", "ndjson")
        if let other = files.first(where: { !known.contains($0) }) {
            throw EngineError(.data, "\(other): expected .npz, .npy, .csv, .tsv, .txt, .json, .jsonl, or folders of images, recordings or IDX files")
        }
        if let lines = named("jsonl", "ndjson").first, paths.count == 1 {
            self = .tokens(lines)
        } else if let annotations = named("json").first {
            guard folders.count == 1, files.count == 1 else { throw EngineError(.data, "\(annotations): COCO's annotations need the folder of their images beside them") }
            self = .coco(annotations: annotations, folder: folders[0])
        } else if let arrays = named("npz").first ?? (folders.isEmpty ? named("npy").first : nil) {
            guard folders.isEmpty, files.count <= 2 else { throw EngineError(.data, "\(arrays): expected at most a file of labels beside it") }
            self = .arrays(file: arrays, labels: files.first { $0 != arrays })
        } else if folders.count == 2, files.isEmpty {
            self = try Self.pair(folders)
        } else if let table = named("csv", "tsv", "txt").first {
            guard files.count == 1, folders.count <= 1 else { throw EngineError(.data, "\(table): expected at most the folder of the files that it lists beside it") }
            if let kind = try Self.listed(table) {
                self = .files(kind, folder: folders.first ?? "", labels: table)
            } else {
                guard folders.isEmpty else {
                    throw EngineError(.data, "\(table): lists no files of \(folders[0]): expected a header with 'file', or names of images or recordings")
                }
                self = .table(table)
            }
        } else if let folder = folders.first, paths.count == 1 {
            if try SampleFolder.list(folder).contains(where: { $0.contains("idx3-ubyte") || $0.contains("idx1-ubyte") }) {
                self = .idx(folder: folder)
            } else if (try? SampleFolder(path: folder, of: .sounds)) != nil {
                self = .files(.sounds, folder: folder, labels: nil)
            } else {
                _ = try SampleFolder(path: folder)
                self = .files(.images, folder: folder, labels: nil)
            }
        } else {
            throw EngineError(.data, "\(paths.joined(separator: ", ")): no telling what these are together; see Docs/DataSets.md for the formats")
        }
    }

    /// Images and masks of the same names, or images and YOLO's text files.
    private static func pair(_ folders: [String]) throws -> DraftFiles {
        let texts = SampleFileKind(extensions: ["txt"], name: "text files")
        for (first, second) in [(folders[0], folders[1]), (folders[1], folders[0])] {
            let names = try SampleFolder.list(second)
            if names.contains(where: { texts.contains($0) }), !names.contains(where: { SampleFileKind.images.contains($0) }) { return .yolo(labels: second, folder: first) }
        }
        // Masks are PNG, without color as a rule, and more often than not named so.
        func isPlain(_ folder: String) throws -> Bool {
            try SampleFolder(path: folder).files.first.map { (try? MaskDecoding(colors: [], unknown: nil).decode(path: $0)) != nil } ?? false
        }
        func isMasks(_ folder: String) throws -> Bool { try !SampleFolder(path: folder).files.contains { !$0.lowercased().hasSuffix(".png") } }
        func sounds(_ folder: String) -> Bool { ["mask", "label", "annot", "gt", "seg"].contains { (folder.split(separator: "/").last ?? "").lowercased().contains($0) } }
        var order = sounds(folders[0]) && !sounds(folders[1]) ? [folders[1], folders[0]] : folders
        if try isPlain(order[0]), try !isPlain(order[1]) { order.reverse() }
        if try isMasks(order[1]) { return .masks(folder: order[0], masks: try named(order[1], for: order[0])) }
        if try isMasks(order[0]) { return .masks(folder: order[1], masks: try named(order[0], for: order[1])) }
        throw EngineError(.data, "\(folders.joined(separator: ", ")): expected images and PNG masks of the same names, or images and text files of boxes")
    }

    /// Masks with the suffixes by which their names differ from those of all images; without any where names are the same, or there is no telling.
    private static func named(_ folder: String, for images: String) throws -> DatasetDeclaration.Masks {
        let found = try SampleFolder(path: images).files
        func fits(_ masks: DatasetDeclaration.Masks) -> Bool {
            found.allSatisfy { image in MaskTargets.path(masks, of: image, below: images).map { InputFile.exists($0) } ?? false }
        }
        let same = DatasetDeclaration.Masks(folder: folder)
        guard !fits(same), let first = found.first else { return same }
        let stem = MaskTargets.stem(first).dropFirst(images.count)
        let place = stem.lastIndex(of: "/") ?? stem.startIndex
        let name = stem[place...].dropFirst()
        let candidates = try SampleFolder.list(folder + stem[..<place]).filter { $0.lowercased().hasSuffix(".png") }.compactMap { file -> DatasetDeclaration.Masks? in
            let mask = MaskTargets.stem(file)
            // Names part before a sign, so that what belongs to the number of a picture stays with it.
            let common = mask.commonPrefix(with: name)
            guard !common.isEmpty else { return nil }
            let shared = common.hasSuffix("_") || common.hasSuffix("-") || common.hasSuffix(".") ? common.dropLast() : common[...]
            let masks = DatasetDeclaration.Masks(folder: folder, suffix: String(name.dropFirst(shared.count)), maskSuffix: String(mask.dropFirst(shared.count)))
            return fits(masks) ? masks : nil
        }
        // Cityscapes has several maps of a picture: those in the numbers that models learn come first, then those in the numbers of all classes.
        return candidates.min { first, second in
            func rank(_ masks: DatasetDeclaration.Masks) -> Int { ["trainid", "labelid", "label", "mask"].firstIndex { masks.maskSuffix.lowercased().contains($0) } ?? 4 }
            return rank(first) < rank(second)
        } ?? same
    }

    /// The kind of files that a table lists; `nil` if it lists none.
    private static func listed(_ table: String) throws -> SampleFileKind? {
        for kind in [SampleFileKind.images, .sounds] {
            let lines = try TextTargets.lines(path: table).prefix(50)
            let fields = lines.dropFirst(lines.count > 1 ? 1 : 0).first.map { $0.split { ",;\t ".contains($0) } } ?? []
            if fields.contains(where: { kind.contains($0.filter { $0 != "\"" }) }) { return kind }
        }
        return nil
    }
}
