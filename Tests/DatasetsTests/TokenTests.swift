import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Lines of token ids")
struct TokenTests {
    private func inputs(_ names: [String], type: SampleType = .int64, length: Int? = nil) -> [ModelInputDescription] {
        names.map { ModelInputDescription(name: $0, type: type, shape: [nil, length]) }
    }

    private func open(
        _ text: String, inputs: [ModelInputDescription], preprocessing: String = "{}", extra: String = "", in folder: TemporaryFolder
    ) throws -> DatasetSplit {
        try folder.write("t.jsonl", text)
        let yaml = try folder.write("d.yaml", "format: tokens\n\(extra)preprocessing: \(preprocessing)\nsource: {file: t.jsonl}\nfractions: {validation: 1}\n")
        return try DatasetLoader.open(path: yaml, inputs: inputs).validation
    }

    private func rows(_ split: DatasetSplit, _ input: Int) throws -> [[Int64]] {
        let prepared = try split.prepared(.file)
        let values = try prepared.withUnsafeBytes(0..<prepared.count, input: input) { Array($0.bindMemory(to: Int64.self)) }
        let width = prepared.inputs[input].elementCount
        return (0..<prepared.count).map { Array(values[$0 * width..<($0 + 1) * width]) }
    }

    @Test("Written by Python's json, read back padded: ids, masks, types, positions and labels")
    func everyInput() throws {
        let folder = try TemporaryFolder()
        let text = try Python.run(
            """
            import json
            r = np.random.default_rng(6)
            for n in [3, 5, 1, 0]:
                print(json.dumps({'text': 'é\\n"', 'input_ids': [int(v) for v in r.integers(0, 30000, n)], 'labels': [int(v) for v in r.integers(0, 9, n)], 'meta': {'a': [None]}}))
            """)
        let lines = try text.split(separator: "\n").map { try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]) }
        let ids = lines.map { ($0["input_ids"] as? [Int] ?? []).map { Int64($0) } }
        let split = try open(text, inputs: inputs(["attention_mask", "input_ids", "token_type_ids", "position_ids"]), preprocessing: "{pad: 7}", in: folder)
        #expect(split.inputs.map(\.shape) == Array(repeating: [5], count: 4))
        #expect(try rows(split, 0) == ids.map { Array(repeating: 1, count: $0.count) + Array(repeating: 0, count: 5 - $0.count) })
        #expect(try rows(split, 1) == ids.map { $0 + Array(repeating: 7, count: 5 - $0.count) })
        #expect(try rows(split, 2) == Array(repeating: [0, 0, 0, 0, 0], count: 4))
        #expect(try rows(split, 3) == Array(repeating: [0, 1, 2, 3, 4], count: 4))
        for (row, line) in lines.enumerated() {
            let labels = (line["labels"] as? [Int] ?? []).map { Int32($0) }
            #expect(try split.targets?.target(row) == .classes(labels + Array(repeating: -100, count: 5 - labels.count), shape: [5]))
        }
        // Cut where declared, or where the model has a fixed length.
        let cut = try open(text, inputs: inputs(["input_ids"]), preprocessing: "{length: 2}", in: folder)
        #expect(try rows(cut, 0) == ids.map { Array(($0 + [0, 0]).prefix(2)) })
        #expect(cut.targets?.shape == [2])
        #expect(try open(text, inputs: inputs(["input_ids"], length: 8), in: folder).inputs[0].shape == [8])
    }

    @Test("The model's own types; what a line says of an input goes before what is made")
    func types() throws {
        let folder = try TemporaryFolder()
        let text = "{\"input_ids\": [1, 2], \"attention_mask\": [1, 0], \"speed\": 0.5}\n\n{\"input_ids\": [3], \"attention_mask\": [0], \"speed\": 2}\r\n"
        let described = [
            ModelInputDescription(name: "input_ids", type: .int32, shape: [nil, nil]), ModelInputDescription(name: "attention_mask", type: .bool, shape: [nil, nil]),
            ModelInputDescription(name: "speed", type: .float32, shape: [nil, 1]),
        ]
        let split = try open(text, inputs: described, in: folder)
        let prepared = try split.prepared(.file)
        #expect(try prepared.withUnsafeBytes(0..<2, input: 0) { Array($0.bindMemory(to: Int32.self)) } == [1, 2, 3, 0])
        #expect(try prepared.withUnsafeBytes(0..<2, input: 1) { Array($0) } == [1, 0, 0, 0])
        #expect(try prepared.floats(2) == [0.5, 2])
        #expect(split.targets == nil)
        // A model's only input takes the ids, whatever it is called.
        #expect(try rows(open(text, inputs: inputs(["x"]), in: folder), 0) == [[1, 2], [3, 0]])
    }

    @Test("Labels of every kind; the tokens themselves for a language model")
    func labels() throws {
        let folder = try TemporaryFolder()
        func targets(_ first: String, _ second: String, _ extra: String = "") throws -> [SampleTarget?] {
            let text = "{\"input_ids\": [1, 2, 3], \"labels\": \(first)}\n{\"input_ids\": [4], \"labels\": \(second)}\n"
            let split = try open(text, inputs: inputs(["input_ids"]), extra: extra, in: folder)
            return try (0..<2).map { try split.targets?.target($0) }
        }
        #expect(try targets("1", "0") == [.label(1), .label(0)])
        #expect(try targets("true", "false") == [.label(1), .label(0)])
        #expect(try targets("1.5", "3") == [.numbers([1.5], shape: []), .numbers([3], shape: [])])
        #expect(try targets("4", "3", "metric: spearman\n") == [.numbers([4], shape: []), .numbers([3], shape: [])])
        #expect(try targets("\"ja\"", "\"nein\"") == [.text("ja"), .text("nein")])
        #expect(try targets("\"b\"", "\"a\"", "classes: [a, b]\n") == [.label(1), .label(0)])
        #expect(try targets("[5, 6]", "[7]") == [.classes([5, 6], shape: [2]), .classes([7, -100], shape: [2])])
        #expect(try targets("[0.5, 1]", "[2, 3]") == [.numbers([0.5, 1], shape: [2]), .numbers([2, 3], shape: [2])])
        let plain = try open("{\"input_ids\": [1, 2]}\n{\"input_ids\": [3]}\n", inputs: inputs(["input_ids"]), extra: "metric: perplexity\n", in: folder)
        #expect(try plain.targets?.target(1) == .classes([3, -100], shape: [2]))
    }

    @Test(
        "What is wrong is said with the line",
        arguments: [
            ("", "t.jsonl: no lines"), ("{\"input_ids\": [1]}\n[1, 2]\n", "t.jsonl:2: not a JSON object on one line"), ("{\"input_ids\": [1]\n", "t.jsonl:1: not a JSON object"),
            ("{\"text\": \"a\"}\n", "t.jsonl:1: no 'input_ids'"), ("{\"input_ids\": [1]}\n{\"input_ids\": \"a\"}\n", "t.jsonl:2: 'input_ids': expected a list of token ids"),
            ("{\"input_ids\": [1.5]}\n", "t.jsonl:1: 'input_ids': expected a list of token ids"), ("{\"input_ids\": [[1]]}\n", "expected a list of token ids"),
            ("{\"input_ids\": [1], \"labels\": 1}\n{\"input_ids\": [1]}\n", "t.jsonl:2: no 'labels', which other lines have"),
            ("{\"input_ids\": [1], \"labels\": 1}\n{\"input_ids\": [1], \"labels\": \"a\"}\n", "t.jsonl:2: 'labels': expected a number"),
            ("{\"input_ids\": [1], \"labels\": {}}\n", "t.jsonl:1: 'labels': expected a number, text, or a list"),
            ("{\"input_ids\": [1], \"labels\": [9999999999]}\n", "t.jsonl:1: label 9999999999 does not fit 32 bits"),
            ("{\"input_ids\": [123456789012345678901]}\n", "expected a list of token ids"),
            ("{\"input_ids\": [1], \"labels\": [0.5]}\n{\"input_ids\": [1], \"labels\": [1, 2]}\n", "t.jsonl:2: 'labels': 2 numbers, line 1 has 1"),
        ])
    func errors(text: String, expected: String) throws {
        let folder = try TemporaryFolder()
        let found = message { _ = try open(text, inputs: inputs(["input_ids"]), in: folder) }
        #expect(found.contains(expected), "\(found)")
        // An input of the model that lines do not have.
        let missing = message { _ = try open("{\"input_ids\": [1]}\n", inputs: inputs(["input_ids", "pixel_values", "other"]), in: folder) }
        #expect(missing.contains("t.jsonl:1: no 'pixel_values', an input of the model"), "\(missing)")
        // Ids that the model's type cannot hold are found when they are prepared.
        let large = try open("{\"input_ids\": [4000000000]}\n", inputs: inputs(["input_ids"], type: .int32), in: folder)
        #expect(message { try large.prepared().prepareAll() }.contains("does not fit int32"))
    }
}
