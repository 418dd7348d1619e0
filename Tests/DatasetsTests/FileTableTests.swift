import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Tables of image files")
struct FileTableTests {
    private let input = ModelInputDescription(name: "x", type: .float32, shape: [nil, 1, 4, 4])

    /// A folder with images sub/a.png, b.png, c.png and d.jpg.
    private func images() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os
            from PIL import Image
            os.makedirs(args[0] + '/img/sub')
            for i, name in enumerate(['sub/a.png', 'b.png', 'c.png', 'd.jpg']):
                Image.fromarray(np.full((6, 6), 40 * i, 'u1')).save(args[0] + '/img/' + name)
            """, folder.path)
        return folder
    }

    private func open(_ folder: TemporaryFolder, _ table: String, columns: String? = nil, metric: String? = nil, extra: String = "", below: String? = "img") throws -> Dataset {
        try folder.write("labels.csv", table)
        let keys = (below.map { "folder: \($0), " } ?? "") + "labels: labels.csv" + (columns.map { ", columns: \($0)" } ?? "")
        let yaml = try folder.write(
            "d.yaml", "format: images\n" + (metric.map { "metric: \($0)\n" } ?? "") + extra + "source: {\(keys)}\nfractions: {validation: 1}\n")
        return try DatasetLoader.open(path: yaml, inputs: [input])
    }

    private func targets(_ dataset: Dataset) throws -> [SampleTarget] {
        let targets = try #require(dataset.validation.targets)
        return try dataset.validation.rows.map { try targets.target($0) }
    }

    @Test("Class names and numbers, whatever the file and label columns are called and parted by")
    func classes() throws {
        let folder = try images()
        for table in [
            "file,label\nsub/a.png,cat\nb.png,dog\nd.jpg,cat\n", "label\tpath\ncat\tsub/a.png\ndog\tb.png\n\ncat\td.jpg\n",
            "Image;Class\r\nsub/a.png;cat\r\nb.png;dog\r\nd.jpg;cat",
            "filename,width,class\nsub/a.png,6,cat\nb.png,6,dog\nd.jpg,6,cat\n", "\"file\",\"label\"\n\"sub/a.png\",\"cat\"\n\"b.png\",\"dog\"\n\"d.jpg\",\"cat\"\n",
            "id,label\nsub/a,cat\nb,dog\nd,cat\n",
        ] {
            let dataset = try open(folder, table)
            #expect(dataset.classes == ["cat", "dog"] && dataset.validation.labels == [0, 1, 0], "\(table)")
            #expect(try dataset.validation.prepared(.file).floats()[16] == 40)
        }
        #expect(try open(folder, "file,label\nb.png,2\nc.png,0\n").validation.labels == [2, 0])
        #expect(try open(folder, "sub/a.png,1\nb.png,0\n").validation.labels == [1, 0])
        #expect(try open(folder, "sub/a.png 1\nb.png 0\n").validation.labels == [1, 0])
        #expect(try open(folder, "b.png cat\nc.png dog\n", extra: "classes: [dog, cat]\n").validation.labels == [1, 0])
        #expect(try open(folder, "x,y\nb.png,cat\nc.png,dog\n", columns: "[file, label]").validation.labels == [0, 1])
        // Relative to the table where no folder is given.
        #expect(try open(folder, "file,label\nimg/b.png,2\n", below: nil).validation.labels == [2])
    }

    @Test("Transcripts: tab-separated with quotation marks as they are, CSV with quoting, and ICDAR's own way")
    func transcripts() throws {
        let folder = try images()
        #expect(try targets(open(folder, "sub/a.png\tsay \"hi\", you\nb.png\t42\nc.png\t\n")) == [.text("say \"hi\", you"), .text("42"), .text("")])
        #expect(try targets(open(folder, "file,text\nb.png,\"a, b\"\nc.png,7\n")) == [.text("a, b"), .text("7")])
        #expect(try targets(open(folder, "b.png, \"Genaxis, \"\"x\"\"\"\nc.png, \"[06]\"\n")) == [.text("Genaxis, \"x\""), .text("[06]")])
        #expect(try targets(open(folder, "b.png\t12\nc.png\t34\n", metric: "cer")) == [.text("12"), .text("34")])
        let plate = try open(folder, "file,plate\nb.png,AB 12\nc.png,CD 34\n")
        #expect(try targets(plate) == [.text("AB 12"), .text("CD 34")] && plate.notes.contains { $0.contains("column 'plate' is taken for text") })
    }

    @Test("Numbers: one column or several")
    func numbers() throws {
        let folder = try images()
        #expect(try targets(open(folder, "file,age\nb.png,31\nc.png,7\n")) == [.numbers([31], shape: []), .numbers([7], shape: [])])
        #expect(try targets(open(folder, "file,x,y\nb.png,0.5,-1\nc.png,1e2,0\n")) == [.numbers([0.5, -1], shape: [2]), .numbers([100, 0], shape: [2])])
        #expect(try targets(open(folder, "file,label\nb.png,30.5\nc.png,-7\n")) == [.numbers([30.5], shape: []), .numbers([-7], shape: [])])
        #expect(try targets(open(folder, "b.png,31\nc.png,7\n", metric: "mae")) == [.numbers([31], shape: []), .numbers([7], shape: [])])
        #expect(try targets(open(folder, "file,label\nb.png,31\nc.png,7\n", metric: "mae")) == [.numbers([31], shape: []), .numbers([7], shape: [])])
    }

    @Test(
        "What is wrong is said with the row and what was expected",
        arguments: [
            ("", "no rows"), ("file,label\n", "no rows below the header"), ("name,kind\nx,y\n", "no column of files: expected a header with 'file'"),
            ("file,label\nb.png,0\ngone.png,1\n", "labels.csv, row 3: "), ("file,label\nb.png,0\ngone.png,1\n", "img/gone.png: no such file"),
            ("file,label\nb.png\n", "row 2: 1 fields, the first row has 2"), ("file,a,b\nb.png,1,x\n", "row 2, column 'b': 'x' is not a number"),
            ("file,label\nb.png,nan\n", "row 0: label NaN"), ("file,label\n\"b.png,0\n", "row 2: 1 fields"),
        ])
    func errors(table: String, expected: String) throws {
        let folder = try images()
        let text = message { _ = try open(folder, table) }
        #expect(text.contains(expected) && text.contains("labels.csv"), "\(text)")
    }

    @Test("Rows of one table in two splits are told apart by their files")
    func splits() throws {
        let folder = try images()
        try folder.write("l.csv", "file,label\nsub/a.png,0\nb.png,1\nc.png,0\n")
        func open(_ second: String) throws -> Dataset {
            let yaml = try folder.write(
                "d.yaml",
                "format: images\nsplits:\n  validation: {folder: img, labels: l.csv, range: [0, 2]}\n  test: {folder: img, labels: l.csv, range: \(second)}\n")
            return try DatasetLoader.open(path: yaml, inputs: [input])
        }
        #expect(try open("[2, 3]").test?.labels == [0])
        #expect(message { _ = try open("[1, 3]") }.contains("overlap"))
        #expect(try DatasetLoader.files(of: folder.file("d.yaml")).contains { $0.hasSuffix("img/sub/a.png") })
    }
}
