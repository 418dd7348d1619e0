import Foundation
import PythonOracle
import Synchronization
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Fashion-MNIST as shipped")
struct FashionMNISTTests {
    private let folder = Repository.root + "/SampleModels/data"
    private let input = ModelInputDescription(name: "image", type: .float32, shape: [nil, 1, 28, 28])

    private func dataset() throws -> Dataset { try DatasetLoader.open(path: folder + "/fashion-mnist.yaml", inputs: [input]) }

    @Test("Splits have the declared sizes; each class of the 10,000 validation images stands 1,000 times")
    func counts() throws {
        let dataset = try dataset()
        #expect(dataset.name == "Fashion-MNIST" && dataset.metric == .top1 && dataset.classes.count == 10)
        #expect(dataset.validation.count == 10000 && dataset.calibration?.count == 1000 && dataset.test?.count == 4000)
        // The data set's own documentation: 1,000 test images of each class.
        let labels = try #require(dataset.validation.labels)
        #expect((0..<10).map { label in labels.count { $0 == label } } == Array(repeating: 1000, count: 10))
        #expect(dataset.validation.inputs == [SampleInput(name: "image", type: .float32, shape: [1, 28, 28])])
    }

    @Test("Prepared samples equal NumPy's float32 expression bit for bit, in file order and shuffled")
    func bitsAgainstNumPy() throws {
        let temporary = try TemporaryFolder()
        try Python.run(
            """
            import gzip
            raw = np.frombuffer(gzip.open(args[0]).read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
            f = np.float32
            ((raw.astype(f) * f(0.00392156862745098) - f(0.2860)) / f(0.3530)).tofile(args[1])
            """, folder + "/fashion-mnist/t10k-images-idx3-ubyte.gz", temporary.path + "/expected")
        let expected = try Python.floats(temporary.path + "/expected")
        let validation = try dataset().validation
        let inFileOrder = try validation.prepared(.file)
        #expect(try inFileOrder.floats() == expected)

        let shuffled = try validation.prepared()
        #expect(shuffled.rows.sorted() == Array(0..<10000) && shuffled.rows != Array(0..<10000))
        let labels = try #require(validation.labels)
        let floats = try shuffled.floats()
        var same = true
        for (position, row) in shuffled.rows.enumerated() {
            same = same && floats[position * 784..<(position + 1) * 784].elementsEqual(expected[row * 784..<(row + 1) * 784])
        }
        #expect(same)
        #expect(shuffled.labels == shuffled.rows.map { labels[$0] })
    }

    @Test("The first samples of the evaluation order are a fair part of every class")
    func shuffledStart() throws {
        let labels = try #require(try dataset().validation.prepared().labels)
        let counts = (0..<10).map { label in labels.prefix(1000).count { $0 == label } }
        // 100 expected, standard deviation about 9.
        #expect(counts.allSatisfy { (60...140).contains($0) })
    }

    @Test("Hashes tell splits and preprocessing apart, and stay the same")
    func hashes() throws {
        let (first, second) = (try dataset(), try dataset())
        #expect(try first.validation.contentHash == second.validation.contentHash)
        let hashes = try Set([first.validation, first.calibration, first.test].compactMap { try $0?.contentHash })
        #expect(hashes.count == 3 && hashes.allSatisfy { $0.count == 32 })
        var declaration = try DatasetDeclaration.read(path: folder + "/fashion-mnist.yaml")
        declaration.preprocessing.std = [0.3531]
        #expect(try DatasetLoader.open(declaration, inputs: [input]).validation.contentHash != first.validation.contentHash)
    }

    @Test("Threads that ask for overlapping batches see the same bytes as one alone")
    func concurrency() throws {
        let alone = try dataset().validation.prepared()
        try alone.prepareAll()
        let shared = try dataset().validation.prepared()
        let failures = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 64) { index in
            var generator = SeededGenerator(seed: UInt64(index))
            let start = generator.below(9000)
            let range = start..<start + 1 + generator.below(1000)
            let same = try? shared.withUnsafeBytes(range) { mine in
                try alone.withUnsafeBytes(range) { memcmp(mine.baseAddress!, $0.baseAddress!, mine.count) == 0 }
            }
            if same != true { failures.withLock { $0 += 1 } }
        }
        #expect(failures.withLock { $0 } == 0)
    }

    @Test("A folder with IDX files under their MNIST names needs no declaration")
    func bareFolder() throws {
        let dataset = try DatasetLoader.open(path: folder + "/fashion-mnist", inputs: [input])
        // Only the t10k files are there: 10 / 70 / 20 % of them.
        #expect(dataset.calibration?.count == 1000 && dataset.validation.count == 7000 && dataset.test?.count == 2000)
        #expect(dataset.train == nil && dataset.notes.contains { $0.contains("0…1") })
        let rows = dataset.splits.flatMap(\.rows)
        #expect(rows.sorted() == Array(0..<10000))
        let values = try dataset.validation.prepared().floats()
        #expect(values.min() == 0 && values.max() == 1)
    }
}
