import EngineSupport
import Foundation
import Metrics
import ModelGraph

/// The sources whose samples are files of their own.
extension DatasetAssembly {
    mutating func images(folder path: String) throws -> any SampleSource {
        let folder = try SampleFolder(path: path)
        return try imageSource(folder.files, place: path, targets: classTargets(folder))
    }

    mutating func images(table: String, columns: [String], folder: String?) throws -> any SampleSource {
        let table = try FileTable(path: table, columns: columns, folder: folder, kind: .images, wantsText: rules.wantsText)
        return try imageSource(table.files, place: table.path, targets: targets(table))
    }

    mutating func images(folder path: String, masks: DatasetDeclaration.Masks) throws -> any SampleSource {
        let folder = try SampleFolder(path: path)
        var source = try imageSource(folder.files, place: path, targets: nil)
        let targets = try MaskTargets.targets(masks, images: folder.files, below: path, preprocessing: declaration.preprocessing, shape: source.inputs[0].shape)
        source.targets = try checked(targets, place: masks.folder)
        return source
    }

    mutating func coco(annotations path: String, folder: String) throws -> any SampleSource {
        let annotations = try COCOAnnotations(path: path)
        let names = annotations.categories.map(\.name)
        if let twice = Set(names).count < names.count ? names.first(where: { name in names.count { $0 == name } > 1 }) : nil {
            throw EngineError(.data, "\(path): two categories named '\(twice)'")
        }
        // Numbered by id, unless 'classes' says otherwise.
        if classNames.isEmpty { classNames = names }
        let index = Dictionary(uniqueKeysWithValues: classNames.enumerated().map { ($1, $0) })
        var classes: [Int: Int] = [:]
        for category in annotations.categories { classes[category.id] = index[category.name] }
        let files = annotations.images.map { folder + "/" + $0.fileName }
        for (file, image) in zip(files, annotations.images) {
            guard !image.fileName.utf8.contains(0), InputFile.exists(file) else { throw EngineError(.data, "\(file.replacing("\0", with: "?")): no such file; \(path) lists it") }
            for box in image.boxes where classes[box.category] == nil {
                let name = annotations.categories.first { $0.id == box.category }?.name ?? "\(box.category)"
                throw EngineError(.data, "\(path): category '\(name)' is not among the classes")
            }
        }
        var source = try imageSource(files, place: path, targets: nil)
        source.targets = boxTargets(files: files, shape: source.inputs[0].shape, version: path) { [images = annotations.images, classes] row in
            var image = images[row]
            // Sizes are needed where boxes are numbers of pixels.
            let size: (height: Int, width: Int)
            if let height = image.height, let width = image.width, (1...1_000_000).contains(height), (1...1_000_000).contains(width) {
                size = (height, width)
            } else {
                size = try ImageDecoding.size(path: files[row])
            }
            image.boxes = image.boxes.map { box in
                var box = box
                box.category = classes[box.category] ?? 0
                return box
            }
            return (size, image.boxes)
        }
        return source
    }

    mutating func yolo(labels: String, folder path: String) throws -> any SampleSource {
        let files = try SampleFolder.list(path).filter { SampleFileKind.images.contains($0) }.map { path + "/" + $0 }
        guard !files.isEmpty else { throw EngineError(.data, "\(path): no \(SampleFileKind.images.name)") }
        let texts = files.map { labels + MaskTargets.stem($0).dropFirst(path.count) + ".txt" }
        guard texts.contains(where: { InputFile.exists($0) }) else { throw EngineError(.data, "\(labels): no text file of an image in \(path), such as \(texts[0])") }
        var source = try imageSource(files, place: path, targets: nil)
        let classCount = classNames.isEmpty ? Int.max : classNames.count
        source.targets = boxTargets(files: files, shape: source.inputs[0].shape, version: labels) { row in
            let size = try ImageDecoding.size(path: files[row])
            let (height, width) = (Double(size.height), Double(size.width))
            let boxes = try YOLOLabels.read(path: texts[row]).map { box in
                guard box.category < classCount else { throw EngineError(.data, "\(texts[row]): class \(box.category), but there are \(classCount) classes") }
                return COCOAnnotations.Box(
                    category: box.category, left: box.left * width, top: box.top * height, width: (box.right - box.left) * width,
                    height: (box.bottom - box.top) * height, area: nil, isCrowd: false)
            }
            return (size, boxes)
        }
        return source
    }

    mutating func audio(folder path: String) throws -> any SampleSource {
        let folder = try SampleFolder(path: path, of: .sounds)
        return try soundSource(folder.files, place: path, targets: classTargets(folder))
    }

    mutating func audio(table: String, columns: [String], folder: String?) throws -> any SampleSource {
        let table = try FileTable(path: table, columns: columns, folder: folder, kind: .sounds, wantsText: rules.wantsText)
        return try soundSource(table.files, place: table.path, targets: targets(table))
    }

    // MARK: What they share

    private func soundSource(_ files: [String], place: String, targets: Targets?) throws -> SoundSource {
        try SoundSource(files: files, place: place, targets: targets, input: try onlyInput(place), preprocessing: declaration.preprocessing)
    }

    private func imageSource(_ files: [String], place: String, targets: Targets?) throws -> ImageSource {
        try ImageSource(files: files, place: place, targets: targets, input: try onlyInput(place), preprocessing: declaration.preprocessing)
    }

    /// Boxes brought to the model's input as their images are.
    private func boxTargets(
        files: [String], shape: [Int], version: String, raw: @escaping @Sendable (Int) throws -> (size: (height: Int, width: Int), boxes: [COCOAnnotations.Box])
    ) -> Targets {
        let preprocessing = declaration.preprocessing
        let (_, height, width) = PixelPipeline.split(shape, layout: preprocessing.layout)
        return Targets(
            kind: .boxes, shape: nil,
            read: { row in
                let (size, boxes) = try raw(row)
                let placement = try ImagePlacement(height: size.height, width: size.width, preprocessing, outHeight: height, outWidth: width, place: files[row])
                return .boxes(
                    boxes.compactMap {
                        placement.apply(
                            category: $0.category, left: $0.left, top: $0.top, right: $0.left + $0.width, bottom: $0.top + $0.height, area: $0.area, isCrowd: $0.isCrowd)
                    })
            },
            mix: { rows, digest in
                for row in rows {
                    let (size, boxes) = try raw(row)
                    digest.combine("\(size.height) \(size.width) \(boxes)")
                }
            })
    }

    /// The classes of a folder's sub-folders.
    mutating func classTargets(_ folder: SampleFolder) throws -> Targets? {
        guard !folder.classNames.isEmpty else { return nil }
        let known = try classIndices(folder.classNames, place: folder.path)
        let indices = try folder.classNames.map { name in
            guard let index = known[name] else { throw EngineError(.data, "\(folder.path)/\(name): not among the classes") }
            return index
        }
        return try checked(Targets(labels: folder.classOfFile.map { indices[$0] }, areNames: true), place: folder.path)
    }

    /// What a table of files says about them.
    mutating func targets(_ table: FileTable) throws -> Targets? {
        if let note = table.note { notes.append(note) }
        let targets: Targets?
        switch table.content {
        case .none: targets = nil
        case .texts(let texts): targets = Targets(texts: texts)
        case .numbers(let numbers, let width): targets = Targets(numbers: numbers, width: width)
        case .unknown(let texts):
            let made = try named(TextTargets.targets(texts, rules: rules, place: table.path), count: texts.count, place: table.path)
            if made.kind == .text, !rules.wantsText { notes.append("\(table.path): its other column is taken for text; a header line 'file,label' makes it classes") }
            targets = made
        case .labels(let texts): targets = try columnTargets(texts, place: table.path) { "\(table.path): sample \($0)" }
        }
        return try checked(targets, place: table.path)
    }
}

extension DatasetDeclaration.Files {
    /// Every file that is read, those of folders and tables included.
    func everyFile() throws -> [String] {
        switch self {
        case .idx, .npz, .csv, .tokens: paths
        case .images(let folder?, nil, _, let masks):
            try SampleFolder(path: folder).files + (masks.map { try SampleFolder(path: $0.folder).files } ?? [])
        case .images(let folder, let table?, let columns, _):
            try [table] + FileTable(path: table, columns: columns, folder: folder, kind: .images, wantsText: false).files
        case .images(nil, nil, _, _), .audio(nil, nil, _): []
        case .coco(let annotations, let folder): try [annotations] + COCOAnnotations(path: annotations).images.map { folder + "/" + $0.fileName }
        case .yolo(let labels, let folder):
            try [(labels, SampleFileKind(extensions: ["txt"], name: "")), (folder, .images)].flatMap { path, kind in
                try SampleFolder.list(path).filter { kind.contains($0) }.map { path + "/" + $0 }
            }
        case .audio(let folder?, nil, _): try SampleFolder(path: folder, of: .sounds).files
        case .audio(let folder, let table?, let columns):
            try [table] + FileTable(path: table, columns: columns, folder: folder, kind: .sounds, wantsText: false).files
        }
    }
}
