import Metrics
import Yams

/// The YAML of a data set, key by key.
struct DatasetDeclarationParser {
    private let yaml: YAMLFields
    private let folder: String

    init(file: String) {
        yaml = YAMLFields(file: file)
        folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
    }

    func parse(_ text: String) throws -> DatasetDeclaration {
        let root = try yaml.document(text, expected: "a data set")
        let fields = try yaml.mapping(
            root, "a data set",
            allowed: ["name", "format", "metric", "classes", "label_offset", "input", "constants", "carry", "preprocessing", "splits", "source", "fractions", "seed"],
            required: ["format"])
        let format = try fields["format"].map { try yaml.choice($0, "format", DatasetDeclaration.Format.self) } ?? .idx
        let base = yaml.file.split(separator: "/").last.map { String($0.prefix { $0 != "." }) } ?? "data"
        var declaration = DatasetDeclaration(name: base, format: format, file: yaml.file)
        for (key, node) in fields {
            switch key {
            case "name": declaration.name = try yaml.string(node, key)
            case "constants": declaration.constants = try constants(node)
            case "carry": declaration.carry = try carry(node)
            case "classes": declaration.classes = try classes(node)
            case "label_offset":
                declaration.labelOffset = try yaml.integer(node, key, in: 1...1_000_000)
                if format == .coco || format == .yolo { throw yaml.fail(node, "label_offset: not of boxes; 'classes' lists what their numbers stand for") }
            case "input": declaration.input = try yaml.string(node, key)
            case "preprocessing": declaration.preprocessing = try preprocessing(node, format)
            case "splits": declaration.splits = try splits(node, format)
            case "source": declaration.source = try split(node, "source", format, extra: [])
            case "fractions": declaration.fractions = try fractions(node)
            case "seed": declaration.seed = UInt64(try yaml.integer(node, key, in: 0...Int.max))
            default: break
            }
        }
        // After the classes, which it may name.
        if let node = fields["metric"] {
            let metric = try MetricDeclaration(node, yaml, classes: declaration.classes, resolved: resolved)
            (declaration.metric, declaration.metricOptions, declaration.positiveClassName) = (metric.kind, metric.options, metric.positiveClassName)
        }
        switch (fields["splits"], fields["source"]) {
        case (nil, nil): throw yaml.fail(root, "a data set needs 'splits' or 'source'")
        case (_?, let source?): throw yaml.fail(source, "'source' and 'splits' exclude each other")
        case (let splits?, nil):
            guard let validation = declaration.splits[.validation] else { throw yaml.fail(splits, "splits: 'validation' is missing") }
            guard !validation.isOptional else { throw yaml.fail(splits, "splits: 'validation' cannot be optional") }
            if declaration.splits.count > 1 {
                for key in ["fractions", "seed"] {
                    if let node = fields[key] { throw yaml.fail(node, "\(key): only where one source is divided, and here are \(declaration.splits.count) splits") }
                }
            }
        case (nil, _?): break
        }
        return declaration
    }

    private func classes(_ node: Node) throws -> [String] {
        let names = try yaml.list(node, "classes") { try yaml.string($0, "classes") }
        guard Set(names).count == names.count else { throw yaml.fail(node, "classes: a name is listed twice") }
        return names
    }

    private func constants(_ node: Node) throws -> [String: [Double]] {
        guard let mapping = node.mapping else { throw yaml.fail(node, "constants: expected 'input: number' lines") }
        var result: [String: [Double]] = [:]
        for (key, value) in mapping {
            let name = try yaml.string(key, "constants")
            result[name] = value.sequence == nil ? [try yaml.number(value, name)] : try yaml.list(value, name) { try yaml.number($0, name) }
        }
        return result
    }

    private func carry(_ node: Node) throws -> [String: String] {
        guard let mapping = node.mapping, !mapping.isEmpty else { throw yaml.fail(node, "carry: expected 'output: input' lines") }
        var result: [String: String] = [:]
        for (key, value) in mapping { result[try yaml.string(key, "carry")] = try yaml.string(value, "carry") }
        return result
    }

    private func preprocessing(_ node: Node, _ format: DatasetDeclaration.Format) throws -> Preprocessing {
        let values = ["scale", "mean", "std", "shape"]
        let images = ["layout", "resize", "crop", "channels"]
        let allowed =
            switch format {
            case .idx, .npz, .csv, .coco, .yolo: values + images
            case .images: values + images + ["colors", "ignore"]
            case .audio: values + ["sample_rate", "seconds", "cut", "features"]
            case .tokens: ["length", "pad"]
            }
        let fields = try yaml.mapping(node, "preprocessing", allowed: allowed)
        var result = Preprocessing()
        for (key, value) in fields {
            switch key {
            case "scale":
                result.scale = try yaml.number(value, key)
                guard result.scale != 0 else { throw yaml.fail(value, "scale: zero would erase the data") }
            case "mean": result.mean = try channelValues(value, key)
            case "std":
                result.std = try channelValues(value, key)
                guard !result.std.contains(where: { Float($0) == 0 }) else { throw yaml.fail(value, "std: zero cannot divide") }
            case "shape":
                result.shape = try yaml.list(value, key, count: 1...DataLimits.rank) { try yaml.integer($0, key, in: 1...(1 << 30)) }
            case "layout": result.layout = try yaml.choice(value, key, Preprocessing.Layout.self)
            case "resize":
                if value.mapping != nil {
                    result.resize = try letterbox(value)
                } else if value.sequence == nil {
                    result.resize = .shorterSide(try yaml.integer(value, key, in: Self.sides))
                } else {
                    let size = try yaml.list(value, key, count: 2...2) { try yaml.integer($0, key, in: Self.sides) }
                    result.resize = .exact(height: size[0], width: size[1])
                }
            case "crop": result.crop = try yaml.list(value, key, count: 2...2) { try yaml.integer($0, key, in: Self.sides) }
            case "channels": result.channels = try yaml.choice(value, key, Preprocessing.Channels.self)
            case "colors":
                result.colors = try yaml.list(value, key, count: 1...4096) { color in
                    try yaml.list(color, key, count: 3...3) { UInt8(try yaml.integer($0, key, in: 0...255)) }
                }
                guard Set(result.colors).count == result.colors.count else { throw yaml.fail(value, "colors: a color is listed twice") }
            case "ignore": result.unknownColor = Int32(try yaml.integer(value, key, in: -1_000_000...1_000_000))
            case "sample_rate": result.sound.sampleRate = try yaml.integer(value, key, in: 100...1_000_000)
            case "seconds":
                let seconds = try yaml.number(value, key)
                guard seconds > 0, seconds <= 3600 else { throw yaml.fail(value, "seconds: expected more than 0 and at most 3600, found \(seconds)") }
                result.sound.seconds = seconds
            case "cut": result.sound.cut = try yaml.choice(value, key, SoundPreprocessing.Cut.self)
            case "features": result.sound.features = try SoundFeatures(value, yaml)
            case "length": result.tokens.length = try yaml.integer(value, key, in: 1...(1 << 20))
            case "pad": result.tokens.pad = try yaml.integer(value, key, in: -(1 << 31)...(1 << 31))
            default: break
            }
        }
        if result.unknownColor != nil, result.colors.isEmpty, let node = fields["ignore"] {
            throw yaml.fail(node, "ignore: the class of colors that 'colors' does not list, which is missing")
        }
        return result
    }

    private func letterbox(_ node: Node) throws -> Preprocessing.Resize {
        let fields = try yaml.mapping(node, "resize", allowed: ["letterbox", "fill", "anchor"], required: ["letterbox"])
        let size = try fields["letterbox"].map { try yaml.list($0, "letterbox", count: 2...2) { try yaml.integer($0, "letterbox", in: Self.sides) } } ?? [1, 1]
        let fill = try fields["fill"].map { try yaml.integer($0, "fill", in: 0...255) } ?? 114
        let anchor = try fields["anchor"].map { try yaml.choice($0, "anchor", Preprocessing.Anchor.self) } ?? .center
        return .letterbox(height: size[0], width: size[1], fill: UInt8(fill), anchor: anchor)
    }

    /// Height or width of an image.
    private static let sides = 1...8192

    private func channelValues(_ node: Node, _ what: String) throws -> [Double] {
        if node.sequence == nil { return [try yaml.number(node, what)] }
        return try yaml.list(node, what) { try yaml.number($0, what) }
    }

    private func fractions(_ node: Node) throws -> DatasetDeclaration.Fractions {
        let fields = try yaml.mapping(node, "fractions", allowed: SplitName.allCases.map(\.rawValue))
        func share(_ name: SplitName) throws -> Double {
            guard let value = fields[name.rawValue] else { return 0 }
            let share = try yaml.number(value, name.rawValue)
            guard (0...1).contains(share) else { throw yaml.fail(value, "\(name.rawValue): expected 0 to 1, found \(share)") }
            return share
        }
        let result = DatasetDeclaration.Fractions(
            train: try share(.train), calibration: try share(.calibration), validation: try share(.validation), test: try share(.test))
        guard result.validation > 0 else { throw yaml.fail(node, "fractions: validation must have a share") }
        guard result.train + result.calibration + result.validation + result.test <= 1 + 1e-9 else {
            throw yaml.fail(node, "fractions: together more than 1")
        }
        return result
    }

    private func splits(_ node: Node, _ format: DatasetDeclaration.Format) throws -> [SplitName: DatasetDeclaration.Split] {
        let fields = try yaml.mapping(node, "splits", allowed: SplitName.allCases.map(\.rawValue))
        var result: [SplitName: DatasetDeclaration.Split] = [:]
        for name in SplitName.allCases {
            if let value = fields[name.rawValue] {
                result[name] = try split(value, name.rawValue, format, extra: ["optional"])
            }
        }
        return result
    }

    private func split(_ node: Node, _ what: String, _ format: DatasetDeclaration.Format, extra: [String]) throws -> DatasetDeclaration.Split {
        let keys: (allowed: [String], required: [String]) =
            switch format {
            case .idx: (["images", "labels", "labels_file"], ["images"])
            case .npz: (["file", "array", "labels", "labels_file"], ["file"])
            case .csv: (["file", "label"], ["file"])
            case .images: (["folder", "labels", "columns", "masks", "suffix", "mask_suffix"], [])
            case .coco: (["annotations", "folder"], ["annotations", "folder"])
            case .yolo: (["labels", "folder"], ["labels", "folder"])
            case .audio: (["folder", "labels", "columns"], [])
            case .tokens: (["file"], ["file"])
            }
        let fields = try yaml.mapping(node, what, allowed: keys.allowed + ["range"] + extra, required: keys.required)
        if let labelsFile = fields["labels_file"], fields["labels"] != nil { throw yaml.fail(labelsFile, "'labels' and 'labels_file' exclude each other") }
        if let masks = fields["masks"], fields["labels"] != nil { throw yaml.fail(masks, "'labels' and 'masks' exclude each other") }
        for key in ["suffix", "mask_suffix"] { if let node = fields[key], fields["masks"] == nil { throw yaml.fail(node, "\(key): only with 'masks'") } }
        if let columns = fields["columns"], fields["labels"] == nil { throw yaml.fail(columns, "columns: only of a table, which 'labels' names") }
        if let masks = fields["masks"], fields["folder"] == nil { throw yaml.fail(masks, "'masks' needs the 'folder' of the images") }
        if format == .images || format == .audio, fields["folder"] == nil {
            guard fields["labels"] != nil else { throw yaml.fail(node, "\(what) needs 'folder' or 'labels'") }
        }
        func text(_ key: String) throws -> String? { try fields[key].map { try yaml.string($0, key) } }
        func optionalPath(_ key: String) throws -> String? { try text(key).map(resolved) }
        func path(_ key: String) throws -> String { try optionalPath(key) ?? "" }
        func columns() throws -> [String] { try fields["columns"].map { try yaml.list($0, "columns", count: 1...1024) { try yaml.string($0, "columns") } } ?? [] }
        func masks() throws -> DatasetDeclaration.Masks? {
            try optionalPath("masks").map { .init(folder: $0, suffix: try text("suffix") ?? "", maskSuffix: try text("mask_suffix") ?? "") }
        }
        let files: DatasetDeclaration.Files =
            switch format {
            case .idx: .idx(images: try path("images"), labels: try optionalPath("labels"), labelsFile: try optionalPath("labels_file"))
            case .npz: .npz(file: try path("file"), array: try text("array"), labels: try text("labels"), labelsFile: try optionalPath("labels_file"))
            case .csv: .csv(file: try path("file"), label: try text("label"))
            case .images:
                .images(folder: try optionalPath("folder"), table: try optionalPath("labels"), columns: try columns(), masks: try masks())
            case .coco: .coco(annotations: try path("annotations"), folder: try path("folder"))
            case .yolo: .yolo(labels: try path("labels"), folder: try path("folder"))
            case .audio: .audio(folder: try optionalPath("folder"), table: try optionalPath("labels"), columns: try columns())
            case .tokens: .tokens(file: try path("file"))
            }
        var range: Range<Int>?
        if let value = fields["range"] {
            let bounds = try yaml.list(value, "range", count: 2...2) { try yaml.integer($0, "range", in: 0...(1 << 40)) }
            guard bounds[0] < bounds[1] else { throw yaml.fail(value, "range: expected [first, past the last], found \(bounds)") }
            range = bounds[0]..<bounds[1]
        }
        return DatasetDeclaration.Split(
            files: files, range: range, isOptional: try fields["optional"].map { try yaml.boolean($0, "optional") } ?? false,
            line: node.mark?.line ?? 0)
    }

    private func resolved(_ path: String) -> String { path.hasPrefix("/") ? path : folder + path }
}
