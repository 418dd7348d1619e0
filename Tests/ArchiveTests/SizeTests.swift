import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Archive
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

@Suite struct SizeTests {
    /// A dense matrix has no gaps to fill.
    @Test func fillersOfADenseMatrix() { #expect(TheoreticalSize.expectedFillers(nonZeros: 100, density: 1, indexBits: 4) == 0) }

    /// facts, published: the kept shares, bits and index bits of the paper's two networks give its "P+Q" column: 3.1 % of 1070 KB
    /// and 3.05 % of 1720 KB. Fillers, about one in twenty at 8 % and 5 bits, are within the tolerance.
    @Test func publishedSizesOfDeepCompression() {
        func kilobytes(_ layers: [(count: Int, kept: Double, bits: Int)], biases: Int, indexBits: Int) -> Double {
            var bits = Double(biases) * 32
            for layer in layers {
                let kept = Double(layer.count) * layer.kept
                bits += TheoreticalSize.sparseBits(nonZeros: kept, fillers: 0, valueBits: Double(layer.bits), indexBits: indexBits)
                bits += TheoreticalSize.codebookBits(entries: Double(1 << layer.bits))
            }
            return bits / 8000
        }
        let small = kilobytes([(235_200, 0.08, 6), (30_000, 0.09, 6), (1000, 0.26, 6)], biases: 410, indexBits: 5)
        #expect(abs(small / (0.031 * 1070) - 1) < 0.05)
        let large = kilobytes([(500, 0.66, 8), (25_000, 0.12, 8), (400_000, 0.08, 5), (5000, 0.19, 5)], biases: 580, indexBits: 5)
        #expect(abs(large / (0.0305 * 1720) - 1) < 0.05)
    }

    /// On tensors whose best encoding can be worked out by hand.
    @Test func theoreticalBitsOfTensors() {
        let dense = Tensor(name: "d", floats: Fixture.uniform(1000, seed: 1), dims: [1000])
        #expect(TheoreticalSize.bits(of: dense) == 32_000)
        let shared = Tensor(name: "s", floats: (0..<1000).map { [1, 2, 3, 4][$0 % 4] }, dims: [1000])
        #expect(TheoreticalSize.bits(of: shared) == 1000 * 2 + 4 * 32)
        // 100 different values, ten apart: distance 10 needs four bits and no filler; a codebook would not pay.
        var values = [Float](repeating: 0, count: 1000)
        for index in 0..<100 { values[index * 10 + 9] = Float(index) + 0.5 }
        #expect(TheoreticalSize.bits(of: Tensor(name: "p", floats: values, dims: [1000])) == 100 * (32 + 4))
        // Two values, ten apart: one bit each... and zero in the codebook, so two.
        for index in 0..<100 { values[index * 10 + 9] = index % 2 == 0 ? 1 : -1 }
        #expect(TheoreticalSize.bits(of: Tensor(name: "q", floats: values, dims: [1000])) == 100 * (2 + 4) + 3 * 32)
    }

    /// gzip's size is that of Python's zlib at level 6 on the very file.
    @Test(arguments: ["lenet-5", "resnet-8"])
    func transferSizeEqualsPythons(name: String) throws {
        let folder = try TemporaryFolder()
        let model = Fixture.pruned(try Fixture.sample(name), keeping: 0.2)
        let path = try model.written(folder, "m.onnx")
        let text = try Python.run(
            "import zlib\nc = zlib.compressobj(6, zlib.DEFLATED, 31)\nd = open(args[0], 'rb').read()\nprint(len(c.compress(d)) + len(c.flush()))", path)
        let exact = try DeflateSize.gzip(try model.serialized())
        // Another zlib may cut blocks elsewhere; Debian's and Python's differ by bytes at most.
        #expect(abs(Double(exact) / (Double(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) - 1) < 0.005)
    }

    @Test func sizesAreThoseOfTheFiles() throws {
        let folder = try TemporaryFolder()
        let model = Fixture.pruned(try Fixture.sample("lenet-300-100"), keeping: 0.1)
        let serialized = try model.serialized()
        let packed = try Archive.pack(model)
        let transfer = try DeflateSize.gzip(serialized)
        func size(_ path: String) throws -> Int? { try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int }
        #expect(try size(model.written(folder, "m.onnx")) == serialized.byteCount)
        try Archive.write(model, to: folder.path + "/m.lathe")
        #expect(try size(folder.path + "/m.lathe") == packed.byteCount)
        #expect(packed.byteCount < transfer && transfer < serialized.byteCount)
        // Users' second question: zeros alone make the ONNX file no smaller.
        #expect(try Fixture.sample("lenet-300-100").serialized().byteCount == serialized.byteCount)
    }

    /// The live prediction of the packed size is within a tenth of the archive, over the range of the two knobs.
    @Test(arguments: [1.0, 0.5, 0.1, 0.03], [0, 2, 5, 8])
    func predictionIsWithinATenth(keeping: Double, bits: Int) throws {
        let original = try Fixture.sample("lenet-5")
        let model = keeping < 1 ? Fixture.pruned(original, keeping: keeping) : original
        let layers = model.layers()
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: nil, cancellation: Cancellation())
        var states = summaries.map(LayerState.init)
        var coded = model
        if bits > 0 {
            let technique = WeightSharing()
            let values = ParameterValues(["bits": .integer(bits)])
            let targets = Dictionary(uniqueKeysWithValues: layers.indices.map { ($0, values.resolved(by: technique.descriptor)) })
            technique.predict(&states, targets: targets, summaries: summaries)
            coded = try Fixture.apply("weight-sharing", ["bits": .integer(bits)], to: model).model
        }
        let packed = try Archive.pack(coded)
        let predicted = states.reduce(0) { $0 + PackedSize.bits(of: $1) } / 8
        let actual = Double(packed.tensors.reduce(0) { $0 + $1.packedBytes })
        #expect(abs(predicted / actual - 1) < 0.1, "predicted \(predicted), packed \(actual)")
    }
}
