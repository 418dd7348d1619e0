import PythonOracle
import TestSupport
import Testing

@testable import Datasets

@Suite("CSV")
struct CSVTests {
    private func open(_ text: String, _ folder: TemporaryFolder, declaration: String? = nil) throws -> Dataset {
        let path = try folder.write("d.csv", text)
        let yaml = try declaration.map { try folder.write("d.yaml", "format: csv\n" + $0) }
        return try DatasetLoader.open(path: yaml ?? path, inputs: [ModelInputDescription(name: "x", type: .float32)])
    }

    @Test("Iris-like table: features in column order, class names to numbers in text order")
    func iris() throws {
        let folder = try TemporaryFolder()
        var text = "\u{FEFF}length;\"width, cm\";class\r\n"
        for row in 0..<20 { text += "\(row);\(Double(row) / 2 - 3);\(["virginica", "setosa", "versicolor"][row % 3])\r\n" }
        let dataset = try open(text, folder)
        #expect(dataset.classes == ["setosa", "versicolor", "virginica"] && dataset.metric == .top1)
        #expect(dataset.validation.inputs[0].shape == [2])
        let prepared = try dataset.validation.prepared()
        for (position, row) in prepared.rows.enumerated() {
            let values = try prepared.withUnsafeBytes(position..<position + 1) { Array($0.bindMemory(to: Float.self)) }
            #expect(values == [Float(row), Float(row) / 2 - 3])
            #expect(prepared.labels?[position] == [2, 0, 1][row % 3])
        }
    }

    @Test("A declared label column, declared class order, and normalization per feature")
    func declared() throws {
        let folder = try TemporaryFolder()
        let dataset = try open(
            "a,kind,b\n1,x,10\n3,y,30\n", folder,
            declaration: "classes: [y, x]\npreprocessing: {mean: [2, 20], std: [1, 10]}\nfractions: {validation: 1}\nsource: {file: d.csv, label: kind}\n")
        #expect(try dataset.validation.prepared(.file).floats() == [-1, -1, 1, 1])
        #expect(dataset.validation.labels == [1, 0])
    }

    @Test(
        "Labels are numbers where they have decimals or lie below 0, and with a metric of numbers; few whole numbers and texts are classes",
        arguments: [
            (["50.5", "439", "2e1"], nil, [50.5, 439, 20]), (["-3", "0", "7"], nil, [-3, 0, 7]), (["3", "1", "2"], "mae", [3, 1, 2]), (["-0.5", "1", "2"], "r2", [-0.5, 1, 2]),
        ] as [([String], String?, [Float])])
    func numbers(labels: [String], metric: String?, expected: [Float]) throws {
        let folder = try TemporaryFolder()
        let metricLine = metric.map { "metric: \($0)\n" } ?? ""
        let dataset = try open(
            "a,label\n" + labels.map { "1,\($0)\n" }.joined(), folder, declaration: "\(metricLine)fractions: {validation: 1}\nsource: {file: d.csv}\n")
        let targets = try #require(dataset.validation.targets)
        #expect(targets.kind == .numbers && dataset.classes.isEmpty && dataset.metric.rawValue == metric ?? "rmse")
        #expect(try (0..<3).map { try targets.target($0) } == expected.map { .numbers([$0], shape: []) })
    }

    @Test("With a metric of classes whole numbers may have a decimal point, and declared names come first")
    func classes() throws {
        let folder = try TemporaryFolder()
        func labels(_ texts: [String], _ extra: String) throws -> [Int]? {
            let table = "a,label\n" + texts.map { "1,\($0)\n" }.joined()
            return try open(table, folder, declaration: "\(extra)fractions: {validation: 1}\nsource: {file: d.csv}\n").validation.labels
        }
        #expect(try labels(["1.0", "0.0", "2.0"], "metric: top1\n") == [1, 0, 2])
        #expect(try labels(["1.0", "0.0", "2.0"], "") == [1, 0, 2])
        #expect(try labels(["1.5", "0.5", "1.5"], "metric: top1\n") == [1, 0, 1])
        #expect(try labels(["7", "3", "7"], "classes: [3, 7]\n") == [1, 0, 1])
        #expect(message { _ = try labels(["1", "x", "7"], "metric: mae\n") }.contains("d.csv, row 3: label 'x' is not a number"))
        #expect(message { _ = try labels(["1", "-1", "7"], "metric: top1\n") }.contains("row 1 has label -1, expected 0 or more"))
    }

    @Test("Labels that count from 1 are shifted where that is declared; names and numbers are not shifted")
    func offset() throws {
        let folder = try TemporaryFolder()
        func open(_ labels: [String], _ extra: String) throws -> [Int]? {
            try self.open("a,label\n" + labels.map { "1,\($0)\n" }.joined(), folder, declaration: "\(extra)fractions: {validation: 1}\nsource: {file: d.csv}\n").validation.labels
        }
        #expect(try open(["3", "1", "2"], "label_offset: 1\n") == [2, 0, 1])
        #expect(try open(["3", "1", "2"], "label_offset: 1\nclasses: [a, b, c]\n") == [2, 0, 1])
        #expect(message { _ = try open(["3", "0"], "label_offset: 1\n") }.contains("row 1 has label 0, expected 1 or more with 'label_offset: 1'"))
        #expect(
            message { _ = try open(["b", "a"], "label_offset: 1\n") }.contains("label_offset: ")
                && message { _ = try open(["b", "a"], "label_offset: 1\n") }.contains("names of classes"))
        #expect(message { _ = try open(["1.5", "2"], "label_offset: 1\n") }.contains("label_offset: only of labels that are numbers of classes"))
        #expect(message { _ = try open(["3", "1", "2"], "classes: [a, b, c]\n") }.contains("'label_offset: 1' makes label 1 the first class"))
    }

    @Test("Validation alone says into what it is divided, and nothing where it is not")
    func divided() throws {
        let folder = try TemporaryFolder()
        let table = "a,label\n" + (0..<20).map { "1,\($0 % 2)\n" }.joined()
        func notes(_ fractions: String) throws -> [String] { try open(table, folder, declaration: "\(fractions)splits: {validation: {file: d.csv}}\n").notes }
        #expect(try notes("").contains { $0.hasSuffix("it is divided into validation, calibration and test") })
        #expect(try notes("fractions: {validation: 0.5, test: 0.5}\n").contains { $0.hasSuffix("it is divided into validation and test") })
        #expect(try notes("fractions: {validation: 1}\n").isEmpty)
    }

    @Test("Blank lines and quoted fields are read; without a label column every column is a feature")
    func plain() throws {
        let folder = try TemporaryFolder()
        let dataset = try open("a\tb\n\n\"1\"\t2e0\n\n-3\t.5\n", folder)
        #expect(dataset.metric == .agreement && dataset.notes.contains { $0.contains("no label column") })
        #expect(dataset.splits.reduce(0) { $0 + $1.count } == 2)
    }

    @Test(
        "What is wrong is said with the row and the column",
        arguments: [
            ("a,label\n1,0\nx,1\n", "row 3, column 'a': 'x' is not a number"), ("a,b,label\n1,2,0\n1,0\n", "row 3: 2 fields, the header has 3"),
            ("a,label\n", "no rows"), ("label\n1\n", "no feature columns"), ("", "no feature columns"), ("a,label\n1,nan\n2,0\n", "row 0: label NaN, expected a number"),
            ("a,label\n1,0.5\n2,\n", "row 3: no label, expected a number"),
            ("a,label\n\"1\"x,0\n", "quotation"), ("a,label\n1,0\n1,0,0\n", "row 3: 3 fields"),
        ])
    func errors(text: String, expected: String) throws {
        let folder = try TemporaryFolder()
        let found = message { _ = try open(text, folder) }
        #expect(found.contains(expected) && found.contains("d.csv"), "\(found)")
    }

    @Test("Bytes that are not text, a label column that is not there")
    func notText() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("d.csv", [0x61, 0xFF, 0xFE, 0x0A])
        #expect(message { _ = try DatasetLoader.open(path: path, inputNames: ["x"]) }.contains("not UTF-8"))
        #expect(message { _ = try open("a,b\n1,2\n", folder, declaration: "source: {file: d.csv, label: kind}\n") }.contains("no column 'kind', found a, b"))
    }
}
