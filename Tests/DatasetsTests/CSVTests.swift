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
            ("a,label\n", "no rows"), ("label\n1\n", "no feature columns"), ("", "no feature columns"), ("a,label\n1,-1\n2,0\n", "label -1"),
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
