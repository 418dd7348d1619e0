import Foundation
import PythonOracle
import TestSupport
import Testing

@testable import Datasets

@Suite("NumPy files, written by NumPy")
struct NumPyTests {
    @Test("Every element type, byte order, memory order and compression decodes to the values NumPy wrote")
    func everyType() throws {
        let folder = try TemporaryFolder()
        // Small whole numbers are exact in every type; each array is also written as float64 text to compare with.
        let listing = try Python.run(
            """
            r = np.random.default_rng(4)
            arrays = {}
            for order in '<>':
                for kind in 'f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1'.split():
                    for memory in 'CF':
                        for shape in [(5,), (4, 3), (2, 3, 4)]:
                            base = r.integers(0, 2 if kind == 'b1' else 100, shape)
                            if kind[0] in 'fi': base = base - 50
                            name = f"{'be' if order == '>' else 'le'}_{kind}_{memory}_{len(shape)}"
                            arrays[name] = np.asarray(base, dtype=np.dtype(order + kind), order=memory)
            np.savez(args[0] + '/plain.npz', **arrays)
            np.savez_compressed(args[0] + '/packed.npz', **arrays)
            for name, a in arrays.items():
                print(name, a.dtype.kind + str(a.dtype.itemsize), ','.join(map(str, a.shape)), ','.join(str(int(v)) for v in a.ravel(order='C')))
            """, folder.path)
        let lines = listing.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.count == 144)
        for name in ["plain", "packed"] {
            let file = try NumPyFile(path: "\(folder.path)/\(name).npz")
            #expect(file.arrays.count == 144)
            for line in lines {
                let array = try file.decode(line[0])
                let values = try #require(ElementConversion.wholeNumbers(array))
                #expect(array.shape == line[2].split(separator: ",").compactMap { Int($0) }, "\(line[0])")
                #expect(values == line[3].split(separator: ",").compactMap { Int($0) }, "\(line[0])")
            }
        }
    }

    @Test("Header versions 1, 2 and 3 of a single .npy")
    func versions() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            for version in [(1, 0), (2, 0), (3, 0)]:
                with open(f"{args[0]}/v{version[0]}.npy", 'wb') as f:
                    np.lib.format.write_array(f, np.arange(6, dtype='>i4').reshape(3, 2), version=version)
            """, folder.path)
        for version in 1...3 {
            let array = try NumPyFile(path: "\(folder.path)/v\(version).npy").decode("")
            #expect(array.shape == [3, 2] && ElementConversion.wholeNumbers(array) == [0, 1, 2, 3, 4, 5])
        }
    }

    @Test("Objects, records, dates and complex numbers are refused by name")
    func refused() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            np.save(args[0] + '/object.npy', np.array([{}, []], dtype=object), allow_pickle=True)
            np.save(args[0] + '/record.npy', np.zeros(3, dtype=[('x', 'f4'), ('y', 'i4')]))
            np.save(args[0] + '/date.npy', np.array(['2020-01-01'], dtype='M8[D]'))
            np.save(args[0] + '/complex.npy', np.zeros(3, dtype='c8'))
            """, folder.path)
        for (name, word) in [
            ("object", "objects ('|O'), which only Python reads; save texts with np.array(texts, dtype=str)"), ("record", "records"), ("date", "dates"), ("complex", "complex"),
        ] {
            let text = message { _ = try NumPyFile(path: "\(folder.path)/\(name).npy") }
            #expect(text.contains(word) && text.contains("\(name).npy"), "\(text)")
        }
    }

    @Test("Several inputs, each in its own type; labels as numbers or one-hot")
    func severalInputs() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            ids = np.arange(40, dtype=np.int32).reshape(10, 4)
            mask = (ids % 3 == 0)
            labels = np.arange(10) % 3
            np.savez(args[0] + '/a.npz', input_ids=ids, mask=mask, labels=labels)
            np.savez(args[0] + '/b.npz', input_ids=ids, mask=mask, labels=np.eye(3, dtype='f4')[labels])
            """, folder.path)
        let inputs = [
            ModelInputDescription(name: "mask", type: .bool, shape: [nil, nil]), ModelInputDescription(name: "input_ids", type: .int64, shape: [nil, nil]),
        ]
        let dataset = try DatasetLoader.open(path: folder.path + "/a.npz", inputs: inputs)
        #expect(dataset.validation.inputs.map(\.name) == ["mask", "input_ids"])
        #expect(dataset.validation.inputs.map(\.type) == [.bool, .int64])
        let prepared = try dataset.validation.prepared()
        for position in 0..<prepared.count {
            let row = prepared.rows[position]
            let ids = try prepared.withUnsafeBytes(position..<position + 1, input: 1) { Array($0.bindMemory(to: Int64.self)) }
            let mask = try prepared.withUnsafeBytes(position..<position + 1, input: 0) { Array($0) }
            #expect(ids == (0..<4).map { Int64(row * 4 + $0) })
            #expect(mask == ids.map { $0 % 3 == 0 ? 1 : 0 })
            #expect(prepared.labels?[position] == row % 3)
        }
        let oneHot = try DatasetLoader.open(path: folder.path + "/b.npz", inputs: inputs)
        #expect(oneHot.validation.labels == dataset.validation.labels)
    }

    @Test("float16 and float64 inputs; values that do not fit an integer input are refused")
    func conversions() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            np.savez(args[0] + '/f.npz', x=np.array([[0.1, -2.5], [65504, 1e-8]] * 5), labels=np.zeros(10, 'u1'))
            np.savez(args[0] + '/i.npz', x=np.array([[1, 2], [3, 70000]] * 5), labels=np.zeros(10, 'u1'))
            np.savez(args[0] + '/u.npz', x=np.full((10, 2), 0.5), labels=np.zeros(10, 'u1'))
            (np.array([0.1, -2.5, 65504, 1e-8]).astype('f4').astype('f2')).tofile(args[0] + '/half')
            """, folder.path)
        func open(_ name: String, _ type: SampleType) throws -> Dataset {
            try DatasetLoader.open(path: "\(folder.path)/\(name).npz", inputs: [ModelInputDescription(name: "x", type: type)])
        }
        let half = try open("f", .float16).validation.prepared(.file)
        let expected = try InputFile.read(folder.path + "/half")
        for position in 0..<half.count {
            let bytes = try half.withUnsafeBytes(position..<position + 1) { Array($0) }
            let row = half.rows[position] % 2
            #expect(bytes == Array(expected[row * 4..<row * 4 + 4]))
        }
        let double = try open("f", .float64).validation.prepared(.file)
        let first = try double.withUnsafeBytes(0..<1) { Array($0.bindMemory(to: Double.self)) }
        #expect(first == (double.rows[0] % 2 == 0 ? [0.1, -2.5] : [65504, 1e-8]))
        #expect(message { try open("i", .uint16).validation.prepared().prepareAll() }.contains("does not fit uint16"))
        #expect(message { _ = try open("u", .int64) }.contains("holds float64"))
    }

    @Test("The array's name may be declared; what is there is listed when it is not found")
    func names() throws {
        let folder = try TemporaryFolder()
        try Python.run("np.savez(args[0] + '/k.npz', x_test=np.zeros((20, 3), 'f4'), y_test=np.arange(20) % 2)", folder.path)
        let input = ModelInputDescription(name: "image", type: .float32, shape: [nil, 3])
        let text = message { _ = try DatasetLoader.open(path: folder.path + "/k.npz", inputs: [input]) }
        #expect(text.contains("'image'") && text.contains("x_test, y_test"))
        let yaml = try folder.write("k.yaml", "format: npz\nsource: {file: k.npz, array: x_test, labels: y_test}\n")
        let dataset = try DatasetLoader.open(path: yaml, inputs: [input])
        #expect(dataset.validation.count == 14 && dataset.calibration?.count == 2 && dataset.test?.count == 4)
        #expect(dataset.metric == .top1)
    }

    @Test("Without labels the metric is agreement with the original model")
    func unlabeled() throws {
        let folder = try TemporaryFolder()
        try Python.run("np.save(args[0] + '/x.npy', np.zeros((20, 3), 'f4'))", folder.path)
        let dataset = try DatasetLoader.open(path: folder.path + "/x.npy", inputs: [ModelInputDescription(name: "x", type: .float32)])
        #expect(dataset.metric == .agreement && dataset.validation.labels == nil && dataset.validation.count == 14)
    }
}
