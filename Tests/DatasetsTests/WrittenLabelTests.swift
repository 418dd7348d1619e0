import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Labels that are written out")
struct WrittenLabelTests {
    private let input = ModelInputDescription(name: "x", type: .float32, shape: [nil, 2])

    private func targets(_ dataset: Dataset) throws -> [SampleTarget] {
        let targets = try #require(dataset.validation.targets)
        return try dataset.validation.rows.map { try targets.target($0) }
    }

    @Test("Text arrays of NumPy: every width, byte order and kind, with empty texts and characters beyond 16 bits")
    func textArrays() throws {
        let folder = try TemporaryFolder()
        let texts = ["straße", "", "two words", "漢字 😀", "trailing ", "a"]
        try Python.run(
            """
            texts = ['straße', '', 'two words', '漢字 😀', 'trailing ', 'a']
            x = np.zeros((6, 2), 'f4')
            np.savez(args[0] + '/le.npz', x=x, labels=np.array(texts))
            np.savez(args[0] + '/be.npz', x=x, labels=np.array(texts).astype('>U20'))
            np.savez(args[0] + '/column.npz', x=x, labels=np.array(texts)[:, None])
            np.savez(args[0] + '/bytes.npz', x=x, labels=np.array([t.encode() for t in texts]))
            np.savez(args[0] + '/empty.npz', x=x, labels=np.array([''] * 6, dtype='<U0') if np.dtype('<U0').itemsize == 0 else np.array([''] * 6))
            np.savez(args[0] + '/grid.npz', x=x, labels=np.array([[t, t] for t in texts]))
            np.savez(args[0] + '/latin.npz', x=x, labels=np.array([b'caf\\xe9'] * 6))
            np.savez(args[0] + '/short.npz', x=x, labels=np.array(texts[:5]))
            np.savez(args[0] + '/names.npz', x=x, labels=np.array(['dog', 'cat', 'dog', 'eel', 'cat', 'dog']))
            np.savez(args[0] + '/input.npz', x=np.array(texts))
            """, folder.path)
        func open(_ name: String, _ extra: String = "") throws -> Dataset {
            let yaml = try folder.write("d.yaml", "format: npz\n\(extra)source: {file: \(name).npz}\nfractions: {validation: 1}\n")
            return try DatasetLoader.open(path: yaml, inputs: [input])
        }
        for name in ["le", "be", "column", "bytes"] {
            #expect(try targets(open(name)) == texts.map { .text($0) }, "\(name)")
        }
        #expect(try targets(open("empty")) == Array(repeating: .text(""), count: 6))
        #expect(try open("names", "classes: [cat, dog, eel]\n").validation.labels == [1, 0, 1, 2, 0, 1])
        #expect(try open("names", "classes: [eel, dog, cat]\n").validation.labels == [1, 2, 1, 0, 2, 1])
        // Without a list texts that repeat are names of classes, in text order.
        let found = try open("names")
        #expect(found.validation.labels == [1, 0, 1, 2, 0, 1] && found.classes == ["cat", "dog", "eel"] && found.metric == .top1)
        #expect(found.notes.contains { $0.contains("3 different texts are taken for classes") && $0.contains("'metric: cer'") })
        #expect(try targets(open("names", "metric: cer\n")).first == .text("dog"))
        #expect(try open("le", "metric: top1\n").validation.labels?.max() == 5)
        #expect(try open("names", "metric: {kind: recall, class: eel}\n").metricOptions.positiveClass == 2)
        #expect(message { _ = try open("names", "metric: {kind: recall, class: owl}\n") }.contains("d.yaml: metric: class: expected a number or one of cat, dog, eel, found 'owl'"))
        for (name, expected) in [
            ("grid", "texts of shape [6, 2], expected one per row"), ("latin", "array 'labels': row 0: bytes that are not UTF-8"), ("short", "5 labels for 6 samples"),
            ("input", "array 'x': array of text, expected numbers"),
        ] {
            let text = message { _ = try open(name) }
            #expect(text.contains(expected), "\(text)")
        }
        // What decides a result is in the hash, byte order is not.
        #expect(try open("le").validation.contentHash == open("be").validation.contentHash)
        #expect(try open("le").validation.contentHash != open("empty").validation.contentHash)
    }

    @Test("A file of labels beside IDX and NumPy arrays: one a line, or an .npy")
    func labelsFile() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            np.savez(args[0] + '/x.npz', x=np.zeros((4, 2), 'f4'), labels=np.zeros(4, 'i8'))
            np.save(args[0] + '/x.npy', np.zeros((4, 2), 'f4'))
            np.save(args[0] + '/l.npy', np.array([3, 1, 0, 2]))
            np.save(args[0] + '/t.npy', np.array(['a', 'b', 'c', 'd']))
            """, folder.path)
        try folder.write("x-idx", idx([4, 2], Array(repeating: 0, count: 8)))
        func open(_ labels: String, _ extra: String = "") throws -> Dataset {
            try folder.write("l.txt", labels)
            let yaml = try folder.write("d.yaml", "format: npz\n\(extra)source: {file: x.npz, labels_file: l.txt}\nfractions: {validation: 1}\n")
            return try DatasetLoader.open(path: yaml, inputs: [input])
        }
        #expect(try open("3\n1\n0\n2\n").validation.labels == [3, 1, 0, 2])
        #expect(try open("3\r\n1\r\n0\r\n2").validation.labels == [3, 1, 0, 2])
        #expect(try targets(open("3\n1\n0\n2\n", "metric: cer\n")) == ["3", "1", "0", "2"].map { .text($0) })
        #expect(try targets(open("3\n1\n0\n2\n", "metric: mae\n")) == [3, 1, 0, 2].map { .numbers([$0], shape: []) })
        #expect(try targets(open("3.5\n1\n0\n-2e1\n")) == [3.5, 1, 0, -20].map { .numbers([$0], shape: []) })
        #expect(try targets(open("\u{FEFF}ab\n\n c\nd\n")) == ["ab", "", " c", "d"].map { .text($0) })
        #expect(try open("cat\ndog\ndog\ncat\n", "classes: [dog, cat]\n").validation.labels == [1, 0, 0, 1])
        #expect(message { _ = try open("a\nb\n") }.contains("l.txt: 2 lines for 4 samples"))
        #expect(message { _ = try open("1\n2\nx\n3\n", "metric: mae\n") }.contains("l.txt: row 2: 'x' is not a number"))
        for (format, samples) in [("npz", "file: x.npy"), ("idx", "images: x-idx")] {
            let yaml = try folder.write("d.yaml", "format: \(format)\nsource: {\(samples), labels_file: l.npy}\nfractions: {validation: 1}\n")
            #expect(try DatasetLoader.open(path: yaml, inputs: [input]).validation.labels == [3, 1, 0, 2])
            try folder.write("d.yaml", "format: \(format)\nsource: {\(samples), labels_file: t.npy}\nfractions: {validation: 1}\n")
            #expect(try targets(DatasetLoader.open(path: yaml, inputs: [input])) == ["a", "b", "c", "d"].map { .text($0) })
        }
        try folder.write("d.yaml", "format: npz\nsource: {file: x.npz, labels: labels, labels_file: l.npy}\n")
        #expect(message { _ = try DatasetLoader.open(path: folder.file("d.yaml"), inputs: [input]) }.contains("'labels' and 'labels_file' exclude each other"))
    }

    @Test("A label that is no number is named by file and row, where numbers are compared")
    func notNumbers() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            x = np.zeros((40, 2), 'f4')
            y = np.arange(40) / 8; y[17] = np.nan
            np.savez(args[0] + '/one.npz', x=x, labels=y)
            y = np.ones((40, 3)); y[5, 2] = -np.inf
            np.savez(args[0] + '/three.npz', x=x, labels=y)
            """, folder.path)
        func open(_ name: String, _ extra: String) throws -> Dataset {
            try DatasetLoader.open(path: folder.write("d.yaml", "format: npz\n\(extra)\n"), inputs: [input])
        }
        for metric in ["", "metric: mae\n", "metric: spearman\n"] {
            #expect(message { _ = try open("one", "\(metric)source: {file: one.npz}\nfractions: {validation: 1}") }.contains("one.npz: row 17: label NaN, expected a number"))
        }
        #expect(message { _ = try open("three", "source: {file: three.npz}\nfractions: {validation: 1}") }.contains("three.npz: row 5: label -infinity, expected a number"))
        // Rows that are not used, and metrics that read no labels or read them on their own.
        for extra in [
            "metric: mae\nsplits: {validation: {file: one.npz, range: [0, 17]}}", "metric: cosine\nsource: {file: one.npz}", "metric: {command: [cat]}\nsource: {file: one.npz}",
        ] {
            #expect(try open("one", extra).validation.count > 0)
        }
    }

    @Test("Class maps that count from 1: what lies before and what the metric ignores never counts")
    func mapOffset() throws {
        let folder = try TemporaryFolder()
        try Python.run("np.savez(args[0] + '/x.npz', x=np.zeros((2, 2), 'f4'), labels=np.array([[1, 3, 255, 0], [2, -100, 1, 3]]))", folder.path)
        let yaml = try folder.write("d.yaml", "format: npz\nlabel_offset: 1\nmetric: {kind: frame-accuracy, ignore: 255}\nsource: {file: x.npz}\nfractions: {validation: 1}\n")
        let dataset = try DatasetLoader.open(path: yaml, inputs: [input])
        #expect(try targets(dataset) == [.classes([0, 2, -1, -1], shape: [4]), .classes([1, -1, 0, 2], shape: [4])] && dataset.metricOptions.ignore == nil)
        let plain = try DatasetLoader.open(path: folder.write("d.yaml", "format: npz\nsource: {file: x.npz}\nfractions: {validation: 1}\n"), inputs: [input])
        #expect(try plain.validation.contentHash != dataset.validation.contentHash)
    }

    @Test("Sequences of classes that are filled up with a negative number stay classes")
    func padded() throws {
        let folder = try TemporaryFolder()
        try Python.run("np.savez(args[0] + '/x.npz', x=np.zeros((3, 2), 'f4'), labels=np.array([[4, 2, -100], [1, -100, -100], [0, 0, 7]]))", folder.path)
        let yaml = try folder.write("d.yaml", "format: npz\nsource: {file: x.npz}\nfractions: {validation: 1}\n")
        #expect(
            try targets(DatasetLoader.open(path: yaml, inputs: [input]))
                == [.classes([4, 2, -100], shape: [3]), .classes([1, -100, -100], shape: [3]), .classes([0, 0, 7], shape: [3])])
    }
}
