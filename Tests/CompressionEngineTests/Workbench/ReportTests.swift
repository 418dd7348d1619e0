import Foundation
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import Datasets
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// The report of an export says what the files are, counted by Python.
@Suite struct ReportTests {
    /// Numbers in the cells of the first table: baseline and compressed, row by row. Titles and units may change; digits may stand in groups.
    private func rows(_ report: String) -> [(baseline: Double, compressed: Double)] {
        let table = report.split(separator: "\n", omittingEmptySubsequences: false).drop { !$0.hasPrefix("|") }.prefix { $0.hasPrefix("|") }
        func number(_ cell: Substring) -> Double? { Double(cell.filter { $0.isNumber || $0 == "." }) }
        return table.dropFirst(2).compactMap { line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: true).map { $0.drop { $0 == " " } }
            guard cells.count >= 3, let first = number(cells[1]), let second = number(cells[2]) else { return nil }
            return (first, second)
        }
    }

    @Test func numbersAreThoseOfTheFiles() throws {
        let session = try Fixture.session("lenet-300-100")
        let folder = try TemporaryFolder()
        let recipe = Recipe(steps: [RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.7)]))])
        let files = try session.export(recipe, request: ExportRequest(folder: folder.path, name: "out", includeArchive: true))
        #expect(files.map { ($0 as NSString).lastPathComponent } == ["out.onnx", "out.recipe.yaml", "out.report.md", "out.lathe"])
        let report = try String(contentsOfFile: files[2], encoding: .utf8)
        let rows = rows(report)

        // Python's view of both models: bytes, bytes after gzip at the same level, parameters, those that are not zero.
        let text = try Python.run(
            """
            import onnx, os, zlib
            from onnx import numpy_helper
            for path in args:
                data = open(path, 'rb').read()
                c = zlib.compressobj(6, zlib.DEFLATED, 31)
                weights = [numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer]
                weights = [w for w in weights if w.dtype.kind == 'f' and w.ndim > 0]
                print(len(data), len(c.compress(data) + c.flush()), sum(w.size for w in weights), sum(int((w != 0).sum()) for w in weights))
            """, session.info.modelPath, files[0])
        let python = text.split(separator: "\n").map { $0.split(separator: " ").compactMap { Double($0) } }
        try #require(python.count == 2 && python.allSatisfy { $0.count == 4 })
        let (before, after) = (python[0], python[1])
        let archive = try #require(FileManager.default.attributesOfItem(atPath: files[3])[.size] as? Int)

        func holds(_ baseline: Double?, _ compressed: Double, within: Double = 0) -> Bool {
            rows.contains { row in abs(row.compressed - compressed) <= within && (baseline.map { abs(row.baseline - $0) <= within } ?? true) }
        }
        #expect(holds(before[0], after[0]), "bytes of the ONNX file: \(after[0]), rows \(rows)")
        #expect(holds(nil, after[1], within: 64), "after gzip: \(after[1]), rows \(rows)")
        #expect(holds(nil, Double(archive)), "the archive: \(archive), rows \(rows)")
        #expect(holds(before[2], after[2]), "parameters: \(after[2]), rows \(rows)")
        #expect(holds(before[3], after[3]), "that are not zero: \(after[3]), rows \(rows)")
        #expect(holds(266_200, 266_200), "MACs of Deep Compression's LeNet")

        // And those of the session.
        let figures = try session.figures(of: session.apply(recipe).model)
        for figure in [figures.serializedBytes, figures.transferBytes, figures.packedBytes, figures.theoreticalBytes, figures.parameters, figures.nonZeros, figures.macs] {
            let value = try #require(figure?.value)
            #expect(holds(nil, value.rounded()), "\(value)")
        }
        // The recipe in the report is the recipe in the file, and makes the model again.
        let again = try session.apply(Recipe.read(path: files[1])).model
        let folder2 = try TemporaryFolder()
        try again.serialized().write(to: folder2.path + "/again.onnx")
        #expect(FileManager.default.contentsEqual(atPath: folder2.path + "/again.onnx", andPath: files[0]))
        let accuracy = try session.evaluate(session.apply(recipe).model)
        #expect(report.contains(String(format: "%.2f", accuracy.value * 100)))
    }

    /// Nothing is left behind by an export that is cancelled or may not replace a file.
    @Test func nothingIsLeftBehind() throws {
        let session = try Fixture.session("lenet-300-100")
        let folder = try TemporaryFolder()
        let cancellation = Cancellation()
        let error = #expect(throws: EngineError.self) {
            try session.export(Recipe(), request: ExportRequest(folder: folder.path, name: "out", includeArchive: true), cancellation: cancellation) { fraction, _ in
                if fraction > 0.35 { cancellation.cancel() }
            }
        }
        #expect(error?.kind == .cancelled)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        try folder.write("out.report.md", [1])
        #expect(throws: EngineError.self) { try session.export(Recipe(), request: ExportRequest(folder: folder.path, name: "out", includeArchive: true)) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.report.md"])
    }
}
