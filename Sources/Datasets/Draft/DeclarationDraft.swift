import EngineSupport
import Foundation
import Metrics

/// A first declaration for files and a model, with a comment wherever something is assumed.
public struct DeclarationDraft {
    /// Shape of an output of the model with the batch first, `nil` for what is free; `nil` altogether if unknown.
    public typealias OutputShape = [Int?]?

    /// YAML.
    public private(set) var text: String

    var lines: [String] = []
    private let input: ModelInputDescription?
    let outputs: [OutputShape]
    let shown: (String) -> String

    /// - Parameters:
    ///   - files: what there is, in any order.
    ///   - shown: a path as the declaration has it.
    /// - Throws: `EngineError` if there is no telling what the files are.
    public init(files paths: [String], inputs: [ModelInputDescription], outputs: [OutputShape], shown: @escaping (String) -> String) throws {
        let files = try DraftFiles(paths)
        input = inputs.count == 1 ? inputs.first : nil
        self.outputs = outputs
        self.shown = { Self.quoted(shown($0)) }
        text = ""
        lines = ["# A first declaration, made by 'lathe data'. What a comment says was assumed: look at it, and at what 'lathe data check' shows."]
        switch files {
        case .arrays(let file, let labels): try arrays(file, labels, inputs)
        case .table(let file):
            lines += ["format: csv", "# The label column is one named label, labels, class or target; another is named by 'label: …' below."]
            if let labels = try CSVTable(path: file, label: nil).labelTexts { addLabels(labels) }
            add("preprocessing: {}", "columns go to the model as they are; mean and std per column normalize them")
            source("file: \(self.shown(file))")
        case .idx(let folder): idx(folder)
        case .files(let kind, let folder, let labels):
            if kind.extensions == SampleFileKind.images.extensions { try images(folder, labels) } else { try sounds(folder, labels) }
        case .masks(let folder, let masks):
            lines.append("format: images")
            try self.masks(folder, masks)
        case .coco(let annotations, let folder):
            lines.append("format: coco")
            add("metric: map", "boxes are given; map50 is the other metric of boxes")
            let found = try COCOAnnotations(path: annotations)
            lines.append(
                "# Categories are numbered from 0 in the order of their ids: \(found.categories.prefix(4).map { $0.name.inComment }.joined(separator: ", ")), …; 'classes' can say otherwise."
            )
            try pixels(first: found.images.first.map { folder + "/" + $0.fileName }, letterbox: true)
            source("annotations: \(self.shown(annotations)), folder: \(self.shown(folder))")
        case .yolo(let labels, let folder):
            lines.append("format: yolo")
            add("metric: map", "boxes are given; map50 is the other metric of boxes")
            lines.append("# classes: [name, name]  # names of the classes, in the order of their numbers")
            try pixels(first: SampleFolder.list(folder).first { SampleFileKind.images.contains($0) }.map { folder + "/" + $0 }, letterbox: true)
            source("labels: \(self.shown(labels)), folder: \(self.shown(folder))")
        case .tokens(let file): try tokens(file, inputs)
        }
        text = lines.joined(separator: "\n") + "\n"
    }

    // MARK: Formats

    private mutating func arrays(_ path: String, _ labels: String?, _ inputs: [ModelInputDescription]) throws {
        let file = try NumPyFile(path: path)
        lines.append("format: npz")
        var keys = "file: \(shown(path))"
        if let labels {
            keys += ", labels_file: \(shown(labels))"
        }
        var sample = file.arrays.first { array in inputs.contains { $0.name == array.name } }
        if sample == nil, inputs.count == 1 {
            let candidates = file.arrays.filter { !$0.header.isText && $0.header.shape.count > 1 }
            if let guess = candidates.max(by: { $0.header.dataBytes < $1.header.dataBytes }), !guess.name.isEmpty {
                lines.append("# No array is named as the model's input, '\(inputs[0].name)': '\(guess.name)', the largest, is taken for it.")
                keys += ", array: \(Self.quoted(guess.name))"
                sample = guess
            }
        }
        if labels == nil { keys += labelArray(file, sample: sample?.name, inputs) }
        if let sample, sample.header.type == .uint8, input?.type?.isFloatingPoint ?? true, sample.header.shape.count >= 3 {
            lines.append("preprocessing:")
            add("  scale: 0.00392156862745098", "the array has bytes, taken for pixels and brought from 0…255 to 0…1; without this line they stay as they are")
            addNormalization(channels: input.flatMap { layout($0) }?.channels)
        } else {
            add("preprocessing: {}", "arrays go to the model as they are")
        }
        source(keys)
    }

    private mutating func idx(_ folder: String) {
        lines.append("format: idx")
        lines.append("preprocessing:")
        add("  scale: 0.00392156862745098", "pixels from 0…255 to 0…1, the commonest convention; leave it out if the model takes 0…255")
        addNormalization(channels: 1)
        let names = (try? SampleFolder.list(folder)) ?? []
        func pair(_ part: String) -> (String, String)? {
            guard let images = names.first(where: { $0.hasPrefix(part + "-images") }), let labels = names.first(where: { $0.hasPrefix(part + "-labels") }) else { return nil }
            return (shown(folder + "/" + images), shown(folder + "/" + labels))
        }
        if let held = pair("t10k"), let train = pair("train") {
            lines.append("# Half of the held-out part is looked at, half kept for the end; the first thousand training images calibrate.")
            lines += [
                "splits:", "  calibration: {images: \(train.0), labels: \(train.1), range: [0, 1000]}", "  train: {images: \(train.0), labels: \(train.1), range: [1000, 60000]}",
                "  validation: {images: \(held.0), labels: \(held.1), range: [0, 5000]}", "  test: {images: \(held.0), labels: \(held.1), range: [5000, 10000]}",
            ]
        } else if let only = pair("t10k") ?? pair("train") {
            source("images: \(only.0), labels: \(only.1)")
        }
    }

    private mutating func images(_ folder: String, _ table: String?) throws {
        lines.append("format: images")
        let first: String?
        if let table {
            let found = try FileTable(path: table, columns: [], folder: folder.isEmpty ? nil : folder, kind: .images, wantsText: false)
            addContent(found)
            first = found.files.first
        } else {
            let found = try SampleFolder(path: folder)
            first = found.files.first
            if found.classNames.isEmpty {
                lines.append("# No sub-folders, so no labels: outputs are compared with the original model's. 'labels: table.csv' gives labels.")
            } else {
                add("metric: top1", "\(found.classNames.count) sub-folders are \(found.classNames.count) classes, numbered in text order; 'classes' can say otherwise")
                checkScores(found.classNames.count)
            }
        }
        try pixels(first: first, letterbox: false)
        source(keys(folder, table))
    }

    private mutating func sounds(_ folder: String, _ table: String?) throws {
        lines.append("format: audio")
        let first: String?
        if let table {
            let found = try FileTable(path: table, columns: [], folder: folder.isEmpty ? nil : folder, kind: .sounds, wantsText: false)
            addContent(found)
            first = found.files.first
        } else {
            let found = try SampleFolder(path: folder, of: .sounds)
            first = found.files.first
            if !found.classNames.isEmpty {
                add("metric: top1", "\(found.classNames.count) sub-folders are classes, numbered in text order; 'classes' can say otherwise")
                checkScores(found.classNames.count)
            }
        }
        lines.append("preprocessing:")
        let sound = try first.map { try SoundDecoding.decode(path: $0) }
        let rate = sound?.rate ?? 16000
        add("  sample_rate: \(rate)", "that of the first recording; others are resampled. Speech models as a rule take 16000")
        let open = input?.shape.map { $0.dropFirst().filter { $0 != 1 } } ?? []
        if open.count <= 1 {
            if let length = open.first ?? nil {
                add("  seconds: \(Double(length) / Double(rate))", "\(length) samples, as the model takes them; shorter clips get zeros behind, of longer ones the middle is kept")
            } else {
                add(
                    "  seconds: \(max(0.1, Double(sound?.samples.count ?? rate) / Double(rate)))",
                    "the length of the first recording; shorter clips get zeros behind, of longer ones the middle is kept")
            }
        } else {
            add("  seconds: \(max(0.1, Double(sound?.samples.count ?? rate) / Double(rate)))", "the length of the first recording; with hop it decides the number of frames")
            let fixed = open.compactMap { $0 }
            let bands = fixed.min() ?? 64
            let hop = rate / 100
            lines.append("  # The model takes two dimensions, so a front end is needed: this is a common one. It must be that of the training; nothing in the model says which.")
            lines.append(
                "  features: {kind: log-mel, n_fft: \(hop * 5 / 2 / 2 * 2), hop: \(hop), mels: \(bands), window: hann, center: true, power: 2, log: ln, mel_scale: htk, norm: none, offset: 1.0e-6}"
            )
        }
        source(keys(folder, table))
    }

    private mutating func tokens(_ path: String, _ inputs: [ModelInputDescription]) throws {
        let file = try TokenFile(path: path)
        lines.append("format: tokens")
        let row = file.rows[0]
        for made in inputs.map(\.name) where row[made] == nil {
            switch made {
            case "attention_mask": lines.append("# Lines have no attention_mask: 1 for every token, 0 for what fills up.")
            case "token_type_ids": lines.append("# Lines have no token_type_ids: 0 for every token.")
            case "position_ids": lines.append("# Lines have no position_ids: 0, 1, 2, …")
            default: break
            }
        }
        switch row["labels"] ?? row["label"] {
        case .integer?: add("metric: top1", "one whole number a line is a class")
        case .integers?: add("metric: token-accuracy", "one label a token")
        case .number?: add("metric: spearman", "one number a line")
        case .text?: add("metric: exact-match", "labels are text")
        case nil where outputs.contains { $0?.count == 3 }:
            add("metric: perplexity", "no labels, and an output for every token: taken for a language model that predicts them")
        default: break
        }
        let longest = file.rows.compactMap { row in if case .integers(let ids)? = row["input_ids"] ?? row["tokens"] ?? row["ids"] { ids.count } else { nil } }.max()
        if let longest {
            add("preprocessing: {length: \(min(longest, 512)), pad: 0}", "the longest line has \(longest) tokens; longer ones are cut. 'pad' is what the tokenizer fills up with")
        }
        source("file: \(shown(path))")
    }

    // MARK: Parts

    /// Channels, height, width and whether channels come first.
    private func layout(_ input: ModelInputDescription) -> (channels: Int, height: Int?, width: Int?, isFirst: Bool)? {
        guard let extents = input.shape?.dropFirst(), extents.count == 3 else { return nil }
        let shape = Array(extents)
        if let channels = shape[0], channels == 1 || channels == 3 { return (channels, shape[1], shape[2], true) }
        if let channels = shape[2], channels == 1 || channels == 3 { return (channels, shape[0], shape[1], false) }
        return nil
    }

    mutating func pixels(first path: String?, letterbox: Bool) throws {
        lines.append("preprocessing:")
        let found = input.flatMap { layout($0) }
        let takesBytes = input?.type.map { !$0.isFloatingPoint } ?? false
        if takesBytes {
            lines.append("  # The model takes \(input?.type?.description ?? "whole numbers"): pixels stay from 0 to 255.")
        } else {
            add("  scale: 0.00392156862745098", "pixels from 0…255 to 0…1, the commonest convention; leave it out if the model takes 0…255")
            addNormalization(channels: found?.channels ?? 3)
        }
        let size = try path.map { try ImageDecoding.size(path: $0) }
        let channels = found?.channels ?? 3
        let (height, width) = (found?.height ?? (letterbox ? 640 : 224), found?.width ?? (letterbox ? 640 : 224))
        if let found {
            lines.append("  layout: \(found.isFirst ? "nchw" : "nhwc")  # channels stand \(found.isFirst ? "first" : "last") in the model's input")
            if found.height == nil || found.width == nil {
                let shape = found.isFirst ? [channels, height, width] : [height, width, channels]
                add("  shape: \(shape.shapeText)", "the model takes any size; this is a common one")
            }
        } else if let input {
            lines.append("  # Input '\(input.name)' does not look like an image, [N, 1 or 3, H, W] or [N, H, W, 1 or 3]; 'shape' and 'layout' say what it is.")
        }
        if channels == 3 { add("  channels: rgb", "models from OpenCV and Caffe take bgr") }
        if letterbox {
            add(
                "  resize: {letterbox: [\(height), \(width)], fill: 114, anchor: center}",
                "proportions kept, as YOLOv5 to v11 do; YOLOX: anchor: corner; SSD and others stretch: [\(height), \(width)]")
        } else {
            let from = size.map { " from \($0.height) × \($0.width) of the first image" } ?? ""
            add(
                "  resize: [\(height), \(width)]",
                "stretched to the model's size\(from); 'resize: \(max(height, width) * 8 / 7)' with 'crop: [\(height), \(width)]' keeps proportions, as torchvision does")
        }
    }

    private mutating func addNormalization(channels: Int?) {
        lines.append(
            channels == 3
                ? "  # Most classifiers from PyTorch were trained with: mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]; from Keras often with: mean: 0.5, std: 0.5."
                : "  # If the training normalized: mean: …, std: …")
    }

    private func keys(_ folder: String, _ table: String?) -> String {
        [folder.isEmpty ? nil : "folder: \(shown(folder))", table.map { "labels: \(shown($0))" }].compactMap { $0 }.joined(separator: ", ")
    }

    mutating func source(_ keys: String) {
        lines.append("# Divided by a fixed shuffle; declare 'splits' instead if there are files for each.")
        lines += ["source: {\(keys)}", "fractions: {calibration: 0.1, validation: 0.7, test: 0.2}"]
    }

    mutating func add(_ line: String, _ comment: String) { lines.append("\(line)  # \(comment)") }

    /// As YAML reads it in braces.
    static func quoted(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            byte >= 0x80 || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "_./+".utf8.contains(byte) || byte == UInt8(ascii: "-")
        }
        guard !plain || text.first == "-" || text.isEmpty || Double(text) != nil || ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(text.lowercased()) else {
            return text
        }
        return "'" + text.replacingOccurrences(of: "'", with: "''") + "'"
    }
}

extension String {
    /// Without what would end a comment.
    var inComment: String { String(unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) }) }
}
