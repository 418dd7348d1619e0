import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets

@Suite("Declarations")
struct DeclarationTests {
    private let valid = """
        name: Digits
        format: idx
        metric: top5
        classes: [zero, one]
        input: image
        preprocessing: {scale: 0.5, mean: [1, 2, 3], std: 4, shape: [3, 2, 2], layout: nchw}
        splits:
          validation: {images: v.gz, labels: /abs/vl.gz, range: [0, 10]}
          train:
            images: sub/t.gz
            optional: true
        """

    @Test("Every key is read; relative paths start at the declaration's folder")
    func everything() throws {
        let declaration = try DatasetDeclaration.parse(valid, file: "/data/d.yaml")
        #expect(declaration.name == "Digits" && declaration.metric == .top5 && declaration.classes == ["zero", "one"])
        #expect(declaration.input == "image" && declaration.source == nil)
        #expect(declaration.preprocessing == Preprocessing(scale: 0.5, mean: [1, 2, 3], std: [4], shape: [3, 2, 2]))
        #expect(
            declaration.splits == [
                .validation: .init(files: .idx(images: "/data/v.gz", labels: "/abs/vl.gz"), range: 0..<10, line: 8),
                .train: .init(files: .idx(images: "/data/sub/t.gz", labels: nil), isOptional: true, line: 10),
            ])
    }

    @Test("The other formats and their own keys")
    func formats() throws {
        let npz = try DatasetDeclaration.parse("format: npz\nsource: {file: a.npz, array: x, labels: y}\nseed: 7\nfractions: {validation: 0.5}", file: "d.yaml")
        #expect(npz.source?.files == .npz(file: "a.npz", array: "x", labels: "y") && npz.seed == 7 && npz.name == "d")
        #expect(npz.fractions == .init(train: 0, calibration: 0, validation: 0.5, test: 0))
        let csv = try DatasetDeclaration.parse("format: csv\nsplits: {validation: {file: a.csv, label: kind}}", file: "x/d.yaml")
        #expect(csv.splits[.validation]?.files == .csv(file: "x/a.csv", label: "kind"))
        let images = try DatasetDeclaration.parse(
            "format: images\npreprocessing: {resize: 256, crop: [224, 224], channels: bgr, layout: nhwc}\nsource: {folder: val}", file: "d.yaml")
        #expect(images.preprocessing == Preprocessing(layout: .nhwc, resize: .shorterSide(256), crop: [224, 224], channels: .bgr))
    }

    @Test(
        "What is wrong is said with file, line and what was expected",
        arguments: [
            ("format: idx", "format: mnist", "d.yaml:2: format: expected one of idx, npz, csv, images, coco, yolo, audio, tokens, found 'mnist'"),
            ("name: Digits", "title: Digits", "d.yaml:1: unknown key 'title' in a data set, expected name, format"),
            ("metric: top5", "metric: goodness", "d.yaml:3: metric 'goodness': expected one of top1, top5, top-k,"),
            ("classes: [zero, one]", "classes: zero", "d.yaml:4: classes: expected a list in brackets, found 'zero'"),
            ("classes: [zero, one]", "classes: [a, a]", "d.yaml:4: classes: a name is listed twice"),
            ("scale: 0.5", "scale: big", "d.yaml:6: scale: expected a number, found 'big'"),
            ("scale: 0.5", "scale: .nan", "d.yaml:6: scale: expected a number"),
            ("std: 4", "std: [4, 0, 1]", "d.yaml:6: std: zero cannot divide"),
            ("std: 4", "sdt: 4", "d.yaml:6: unknown key 'sdt' in preprocessing"),
            ("shape: [3, 2, 2]", "shape: [3, -2, 2]", "d.yaml:6: shape: expected a whole number from 1"),
            ("shape: [3, 2, 2]", "resize: [1, 2, 3]", "d.yaml:6: resize: expected a list of 2 in brackets, found 'a list of 3'"),
            ("layout: nchw", "layout: chw", "d.yaml:6: layout: expected one of nchw, nhwc, found 'chw'"),
            ("range: [0, 10]", "range: [5, 5]", "d.yaml:8: range: expected [first, past the last]"),
            ("range: [0, 10]", "range: 10", "d.yaml:8: range: expected a list of 2 in brackets, found '10'"),
            ("images: v.gz", "image: v.gz", "d.yaml:8: unknown key 'image' in validation, expected images, labels, labels_file, range, optional"),
            ("images: v.gz", "range: [0, 1]", "d.yaml:8: 'range' is given twice"),
            ("optional: true", "optional: perhaps", "d.yaml:11: optional: expected true or false, found 'perhaps'"),
            ("  validation:", "  valid:", "d.yaml:8: unknown key 'valid' in splits, expected train, calibration, validation, test"),
            ("range: [0, 10]}", "range: [0, 10", "d.yaml:"),
            ("splits:", "source: {images: a}\nsplits:", "d.yaml:7: 'source' and 'splits' exclude each other"),
            ("name: Digits", "name: Digits\nseed: 1", "d.yaml:2: seed: only where one source is divided"),
        ])
    func errors(original: String, replacement: String, expected: String) throws {
        try #require(valid.contains(original))
        let text = message { _ = try DatasetDeclaration.parse(valid.replacingOccurrences(of: original, with: replacement), file: "d.yaml") }
        #expect(text.contains(expected), "\(text)")
    }

    @Test(
        "Documents that are no data set at all",
        arguments: ["", "# nothing", "just text", "- a\n- b", "format: idx", "format: idx\nsplits: {test: {images: a}}", "\t", "a: &x [*x]", "{{{{", "format: idx\nsplits: {}"])
    func nonsense(text: String) { _ = message { _ = try DatasetDeclaration.parse(text, file: "d.yaml") } }

    private func write(_ folder: TemporaryFolder, _ splits: String) throws -> String {
        try folder.write("a", idx([10, 2], Array(0..<20)))
        try folder.write("al", idx([10], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))
        return try folder.write("d.yaml", "format: idx\nsplits:\n\(splits)")
    }

    @Test("Splits that share rows of a file are refused, also through a link; neighbors are not")
    func disjoint() throws {
        let folder = try TemporaryFolder()
        let touching = try write(folder, "  validation: {images: a, labels: al, range: [0, 6]}\n  test: {images: a, labels: al, range: [6, 10]}\n")
        let dataset = try DatasetLoader.open(path: touching, inputNames: ["x"])
        #expect(dataset.validation.rows == Array(0..<6) && dataset.test?.rows == Array(6..<10))
        #expect(dataset.test?.labels == [0, 1, 2, 0])
        let overlapping = try write(folder, "  validation: {images: a, labels: al, range: [0, 7]}\n  test: {images: a, range: [6, 10]}\n")
        #expect(message { _ = try DatasetLoader.open(path: overlapping, inputNames: ["x"]) }.contains("d.yaml:4: splits validation and test overlap"))
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/b", withDestinationPath: folder.path + "/a")
        try FileManager.default.linkItem(atPath: folder.path + "/a", toPath: folder.path + "/c")
        for name in ["b", "c"] {
            let linked = try write(folder, "  validation: {images: a}\n  calibration: {images: \(name), range: [0, 1]}\n")
            #expect(message { _ = try DatasetLoader.open(path: linked, inputNames: ["x"]) }.contains("overlap"))
        }
    }

    @Test("An optional split without files is absent and noted; a required one is an error that names the file")
    func optional() throws {
        let folder = try TemporaryFolder()
        let optional = try write(folder, "  validation: {images: a, labels: al}\n  train: {images: gone, optional: true}\n")
        let dataset = try DatasetLoader.open(path: optional, inputNames: ["x"])
        #expect(dataset.train == nil && dataset.notes.contains { $0.contains("gone") } && dataset.validation.count == 10)
        let required = try write(folder, "  validation: {images: a, labels: al}\n  train: {images: gone}\n")
        #expect(message { _ = try DatasetLoader.open(path: required, inputNames: ["x"]) }.contains("gone: no such file"))
    }

    @Test("Only validation data: divided by a fixed shuffle, 10 / 70 / 20 %, every row once, classes mixed")
    func divided() throws {
        let folder = try TemporaryFolder()
        // Sorted by class, as folders of images are.
        let labels = (0..<1000).map { UInt8($0 / 100) }
        try folder.write("a", idx([1000, 1], labels))
        try folder.write("al", idx([1000], labels))
        let yaml = try folder.write("d.yaml", "format: idx\nsplits:\n  validation: {images: a, labels: al}\n")
        let dataset = try DatasetLoader.open(path: yaml, inputNames: ["x"])
        #expect(dataset.calibration?.count == 100 && dataset.validation.count == 700 && dataset.test?.count == 200 && dataset.train == nil)
        #expect(dataset.splits.flatMap(\.rows).sorted() == Array(0..<1000))
        #expect(try Set(#require(dataset.calibration?.labels)).count == 10)
        #expect(try DatasetLoader.open(path: yaml, inputNames: ["x"]).validation.rows == dataset.validation.rows)
        try folder.write("d.yaml", "format: idx\nseed: 2\nfractions: {train: 0.5, validation: 0.25}\nsource: {images: a, labels: al}\n")
        let other = try DatasetLoader.open(path: yaml, inputNames: ["x"])
        #expect(other.train?.count == 500 && other.validation.count == 250 && other.calibration == nil && other.test == nil)
        #expect(Set(other.validation.rows).isDisjoint(with: other.train?.rows ?? []))
        // One sample is enough to look at.
        try folder.write("d.yaml", "format: idx\nsource: {images: a, labels: al, range: [3, 4]}\n")
        #expect(try DatasetLoader.open(path: yaml, inputNames: ["x"]).validation.rows == [3])
    }

    @Test("What does not fit the model or itself is refused")
    func misfits() throws {
        let folder = try TemporaryFolder()
        func open(_ text: String, inputs: [ModelInputDescription] = [ModelInputDescription(name: "x")]) -> String {
            message { _ = try DatasetLoader.open(path: try folder.write("d.yaml", text), inputs: inputs) }
        }
        _ = try write(folder, "")
        let split = "splits: {validation: {images: a, labels: al}, test: {images: a, range: [0, 1]}}"
        #expect(open("format: idx\nsplits: {validation: {images: a, range: [0, 11]}}").contains("d.yaml:2: range [0, 11], but"))
        #expect(open("format: idx\npreprocessing: {shape: [3]}\n\(split)").contains("samples have shape [2], expected [3]"))
        #expect(open("format: idx\npreprocessing: {mean: [1, 2, 3]}\n\(split)").contains("3 values of mean for 2 channels"))
        #expect(open("format: idx\ninput: y\n\(split)").contains("input 'y': the model has 'x'"))
        #expect(open("format: idx\nclasses: [a, b]\n\(split)").contains("row 2 has label 2, but there are 2 classes"))
        #expect(
            open("format: idx\n\(split)", inputs: [ModelInputDescription(name: "x"), ModelInputDescription(name: "y")]).contains("2 inputs"))
        #expect(
            open("format: idx\n\(split)", inputs: [ModelInputDescription(name: "x", shape: [nil, 1, 28, 28])]).contains("expected [1, 28, 28]"))
        #expect(open("format: idx\npreprocessing: {resize: [4, 4]}\n\(split)").contains("need 8-bit images"))
        try folder.write("al", idx([9], Array(repeating: 0, count: 9)))
        #expect(open("format: idx\nsplits: {validation: {images: a, labels: al}}").contains("9 labels for 10 samples"))
    }

    @Test("What is no data is said to be none")
    func notData() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("model.onnx", "x")
        #expect(message { _ = try DatasetLoader.open(path: file, inputNames: ["x"]) }.contains("expected a .yaml"))
        #expect(message { _ = try DatasetLoader.open(path: folder.path + "/gone", inputNames: ["x"]) }.contains("no such file"))
        #expect(message { _ = try DatasetLoader.open(path: folder.path, inputNames: ["x"]) }.contains("no PNG or JPEG images"))
        mkfifo(folder.path + "/pipe.npz", 0o600)
        #expect(message { _ = try DatasetLoader.open(path: folder.path + "/pipe.npz", inputNames: ["x"]) }.contains("not a regular file"))
    }

    @Test("Every declaration shown in Docs/DataSets.md is one")
    func documented() throws {
        let page = try String(contentsOfFile: Repository.root + "/Docs/DataSets.md", encoding: .utf8)
        let blocks = page.matches(of: /```yaml\n([\s\S]*?)```/).map { String($0.output.1) }
        #expect(blocks.count == 4)
        for block in blocks { _ = try DatasetDeclaration.parse(block, file: "d.yaml") }
        for name in Preprocessing.Channels.allCases.map(\.rawValue) + MetricKind.allCases.map(\.rawValue) { #expect(page.contains("`\(name)`")) }
    }
}
