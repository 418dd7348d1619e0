import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Techniques
@testable import Training

/// Grids and codes against `onnxruntime.quantization`.
@Suite struct GridTests {
    @Test(arguments: [(-1.7, 3.2), (0.0, 6.0), (-4.0, -1.0), (2.0, 5.0), (-0.001, 1e-5), (0.0, 0.0)], [true, false])
    func gridsAreOnnxRuntimes(range: (Double, Double), symmetric: Bool) throws {
        let (low, high) = (Float(range.0), Float(range.1))
        for (codes, type) in [(0...255, "QUInt8"), (-128...127, "QInt8"), (-127...127, "QInt8")] where !(symmetric && codes.lowerBound == -128) {
            let grid = AffineGrid(minimum: low, maximum: high, codes: codes, symmetric: symmetric)
            let text = try Python.run(
                """
                from onnxruntime.quantization.quant_utils import compute_scale_zp
                low, high, first, last = [np.array(float(a), np.float32) for a in args[:4]]
                zero, scale = compute_scale_zp(low, high, np.array(int(first)), np.array(int(last)), symmetric=args[4] == 'true')
                print(repr(float(scale)), int(zero))
                """, "\(low)", "\(high)", "\(codes.lowerBound)", "\(codes.upperBound)", "\(symmetric)")
            let truth = PythonComparison.numbers(text)
            guard low != 0 || high != 0 else { continue }
            #expect(Double(grid.scale) == truth[0] && Double(grid.zeroPoint) == truth[1], "\(type) \(codes): \(grid) \(text)")
        }
    }

    /// Codes, scales and zero points of a weight, per tensor, per channel and per group, against NumPy's rounding (ties to even).
    @Test(arguments: [2, 3, 4, 8], [true, false]) func codesAreNumPys(bits: Int, symmetric: Bool) throws {
        let folder = try TemporaryFolder()
        let tensor = Fixture.normal("w", [12, 40], seed: 3)
        let input = folder.path + "/w.bin"
        try folder.write("w.bin", [UInt8](tensor.storage.bytes))
        let layouts: [(String, ScaleLayout)] = [
            ("tensor", ScaleLayout(.tensor, dims: [12, 40])), ("rows", ScaleLayout(.axis(0), dims: [12, 40])),
            ("columns", ScaleLayout(.axis(1), dims: [12, 40])), ("blocks", ScaleLayout(.blocks(axis: 1, size: 16), dims: [12, 40])),
            ("blocks0", ScaleLayout(.blocks(axis: 0, size: 4), dims: [12, 40])),
        ]
        for (name, layout) in layouts {
            let made = try WeightQuantizer.quantize(tensor, layout: layout, format: WeightFormat(bits: bits, symmetric: symmetric), memo: LayerMemo())
            let text = try Python.run(
                """
                w = np.fromfile(args[0], np.float32).reshape(12, 40).astype(np.float64)
                kind, bits, symmetric = args[1], int(args[2]), args[3] == 'true'
                if kind == 'tensor': parts = [w]
                elif kind == 'rows': parts = [w[i] for i in range(12)]
                elif kind == 'columns': parts = [w[:, i] for i in range(40)]
                elif kind == 'blocks': parts = [w[i, j:j + 16] for i in range(12) for j in (0, 16, 32)]
                else: parts = [w[i:i + 4, j] for i in (0, 4, 8) for j in range(40)]
                q = 2 ** (bits - 1) - 1
                values = np.empty_like(w)
                for p in parts:
                    if symmetric:
                        s = np.float32(2 * np.abs(p).max() / (2 * q)); z = 0; lo, hi = -q, q
                    else:
                        l, h = min(p.min(), 0), max(p.max(), 0); step = (h - l) / (2 ** bits - 1); s = np.float32(step); z = np.rint(-l / step); lo, hi = 0, 2 ** bits - 1
                    p[...] = (np.clip(np.rint(p.astype(np.float32) / s) + z, lo, hi) - z) * s
                w.astype(np.float32).tofile(args[0] + '.out')
                """, input, name, "\(bits)", "\(symmetric)")
            _ = text
            let truth = try Python.floats(input + ".out")
            let values = WeightQuantizer.dequantize(made)
            #expect(zip(values, truth).allSatisfy { abs($0 - $1) <= 1e-6 * max(1, abs($1)) }, "\(name)")
        }
    }

    /// Clipping loses less than covering everything, and as much as a search by brute force over the same candidates finds.
    @Test(arguments: [2, 3, 4]) func clippingIsLeastSquares(bits: Int) throws {
        let tensor = Fixture.normal("w", [4, 500], seed: 11)
        let layout = ScaleLayout(.axis(0), dims: [4, 500])
        let values = try #require(tensor.floats())
        func error(_ weight: QuantizedWeight, _ row: Int) -> Double {
            zip(WeightQuantizer.dequantize(weight), values).enumerated().reduce(0) {
                $1.offset / 500 == row ? $0 + Double(($1.element.0 - $1.element.1) * ($1.element.0 - $1.element.1)) : $0
            }
        }
        let plain = try WeightQuantizer.quantize(tensor, layout: layout, format: WeightFormat(bits: bits, symmetric: true), memo: LayerMemo())
        let clipped = try WeightQuantizer.quantize(
            tensor, layout: layout, format: WeightFormat(bits: bits, symmetric: true, range: .leastSquares), memo: LayerMemo())
        let folder = try TemporaryFolder()
        try folder.write("w.bin", [UInt8](tensor.storage.bytes))
        let truth = PythonComparison.numbers(
            try Python.run(
                """
                w = np.fromfile(args[0], np.float32).reshape(4, 500); q = 2 ** (int(args[1]) - 1) - 1
                for r in w:
                    m = np.abs(r).max()
                    print(min(((np.clip(np.rint(r / np.float32(m * p / 100 / q)), -q, q) * np.float32(m * p / 100 / q) - r) ** 2).sum() for p in range(20, 101)))
                """, folder.path + "/w.bin", "\(bits)"))
        for row in 0..<4 {
            #expect(error(clipped, row) < error(plain, row))
            // The search is coarse, then fine around the best: it may miss another valley by a little.
            #expect(error(clipped, row) <= truth[row] * 1.05, "row \(row)")
        }
    }

    /// XNOR-Net: α = mean |w|. Ternary Weight Networks: Δ = 0.7 · mean |w|, α = mean of what lies above.
    @Test func signsAndTernary() throws {
        let tensor = Fixture.normal("w", [3, 200], seed: 5)
        let values = try #require(tensor.floats())
        let layout = ScaleLayout(.axis(0), dims: [3, 200])
        let binary = try WeightQuantizer.quantize(tensor, layout: layout, format: WeightFormat(bits: 1, symmetric: true), memo: LayerMemo())
        let ternary = try WeightQuantizer.quantize(
            tensor, layout: layout, format: WeightFormat(bits: 2, symmetric: true, levels: .ternary), memo: LayerMemo())
        for row in 0..<3 {
            let part = values[(row * 200)..<(row * 200 + 200)]
            let mean = part.reduce(0) { $0 + Double(abs($1)) } / 200
            let kept = part.filter { Double(abs($0)) > 0.7 * mean }
            let alpha = kept.reduce(0) { $0 + Double(abs($1)) } / Double(kept.count)
            let signs = WeightQuantizer.dequantize(binary)[(row * 200)..<(row * 200 + 200)]
            let three = WeightQuantizer.dequantize(ternary)[(row * 200)..<(row * 200 + 200)]
            #expect(zip(signs, part).allSatisfy { abs(Double($0) - ($1 < 0 ? -mean : mean)) < 1e-6 })
            #expect(zip(three, part).allSatisfy { abs(Double($0) - (Double(abs($1)) > 0.7 * mean ? ($1 < 0 ? -alpha : alpha) : 0)) < 1e-6 })
        }
    }

    /// The mean over many draws is the weight; a seed gives the same codes again.
    @Test func stochasticRoundingIsUnbiasedAndSeeded() throws {
        let values = [Float](repeating: 0.3, count: 20000) + [1]
        let tensor = Tensor(name: "w", floats: values, dims: [values.count])
        let layout = ScaleLayout(.tensor, dims: [values.count])
        func rounded(_ seed: UInt64) throws -> [Float] {
            WeightQuantizer.dequantize(
                try WeightQuantizer.quantize(tensor, layout: layout, format: WeightFormat(bits: 3, symmetric: true), rounding: .stochastic(seed: seed), memo: LayerMemo()))
        }
        let first = try rounded(1)
        let mean = first.dropLast().reduce(0) { $0 + Double($1) } / 20000
        // One step is 1/3: standard error of the mean 0.001.
        #expect(abs(mean - 0.3) < 0.005)
        #expect(Set(first).count == 3)
        #expect(try rounded(1) == first && rounded(2) != first)
    }

    /// Published tables and definitions of the value sets.
    @Test func valueSets() {
        #expect(ValueSet.normalFloat.entries.count == 16 && ValueSet.normalFloat.entries.contains(0))
        #expect(ValueSet.float4.entries.map { $0 * 6 } == [-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6])
        #expect(ValueSet.powersOfTwo(bits: 3).entries == [-1, -0.5, -0.25, 0, 0.25, 0.5, 1])
        // {0, 1, ¼, 1/16} + {0, ½}, over 1½.
        #expect(ValueSet.additivePowersOfTwo(bits: 4).entries.map { $0 * 24 }.suffix(7).map { $0.rounded() } == [1, 4, 8, 9, 12, 16, 24])
        for bits in 2...6 {
            for set in [ValueSet.powersOfTwo(bits: bits), .additivePowersOfTwo(bits: bits)] {
                #expect(set.entries.count <= 1 << bits && set.entries == set.entries.sorted() && Set(set.entries).count == set.entries.count)
            }
        }
    }
}
