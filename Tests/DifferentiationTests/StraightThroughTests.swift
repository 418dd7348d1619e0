import ModelGraph
import Testing

@testable import Differentiation

/// Gradients that are conventions: straight through rounding, learned step sizes, and who gets it when several are the maximum.
@Suite struct StraightThroughTests {
    /// Gradients of Σ y with respect to the inputs, in the order of inputs.
    private func gradients(opset: Int = 17, _ make: (inout Sketch) -> String) throws -> [[Float]] {
        let example = GradientCase("a convention", opset: opset, make)
        let found = try GradientCheck(example, ones: true).gradients()
        return example.sketch.differentiated.map { found[$0] ?? [] }
    }

    @Test(arguments: ["Round", "Floor", "Ceil"])
    func roundingPassesGradients(_ type: String) throws {
        #expect(try gradients { $0.node(type, $0.input(2, 3)) } == [[1, 1, 1, 1, 1, 1]])
    }

    private static let values: [Float] = [-9, -1.26, -1.24, -0.4, 0, 0.1, 0.37, 0.63, 1.1, 1.26, 3, 40]

    /// LSQ (Esser et al. 2020, equations 3 and 5): the input's gradient passes inside the range; the step's is the error
    /// round(x/s) − x/s inside, the bound outside.
    private func learnedStep(_ x: [Float], step: Float, zero: Float, low: Float, high: Float) -> (x: [Float], step: Float) {
        var total: Float = 0
        let passed = x.map { value -> Float in
            let ratio = value / step
            if ratio < low - zero || ratio > high - zero {
                total += ratio < low - zero ? low - zero : high - zero
                return 0
            }
            total += ratio.rounded(.toNearestOrEven) - ratio
            return 1
        }
        return (passed, total)
    }

    @Test(arguments: [Float(0), 3, -5])
    func signedQuantizationFollowsLSQ(_ zero: Float) throws {
        let found = try gradients { s in
            let (x, step) = (s.input([12], Self.values), s.input([], [0.0125]))
            let zero = s.constant { Tensor(name: $0, int8s: [Int8(zero)], dims: []) }
            return s.node("DequantizeLinear", s.node("QuantizeLinear", x, step, zero), step, zero)
        }
        let expected = learnedStep(Self.values, step: 0.0125, zero: zero, low: -128, high: 127)
        #expect(found[0] == expected.x)
        #expect(abs(found[1][0] - expected.step) < 1e-3 * abs(expected.step))
    }

    /// The same of plain operators, on a grid of a few bits.
    @Test(arguments: [(Float(-8), Float(7)), (0, 15), (-2, 1)]) func floatOperatorsFollowLSQ(_ low: Float, _ high: Float) throws {
        let found = try gradients { s in
            let (x, step) = (s.input([12], Self.values), s.input([1], [0.211]))
            let (from, to) = (s.floats([low], []), s.floats([high], []))
            return s.node("Mul", s.node("Round", s.node("Clip", s.node("Div", x, step), from, to)), step)
        }
        let expected = learnedStep(Self.values, step: 0.211, zero: 0, low: low, high: high)
        #expect(found[0] == expected.x)
        #expect(abs(found[1][0] - expected.step) < 1e-4 * max(abs(expected.step), 1))
    }

    @Test func unsignedQuantizationPerChannelFollowsLSQ() throws {
        let steps: [Float] = [0.011, 0.2, 1.7]
        let zeros: [UInt8] = [0, 128, 200]
        let found = try gradients { s in
            let (x, step) = (s.input([3, 4], Self.values), s.input([3], steps))
            let zero = s.constant { Tensor(name: $0, uint8s: zeros, dims: [3]) }
            let q = s.node("QuantizeLinear", x, step, zero, with: ["axis": 0])
            return s.node("DequantizeLinear", q, step, zero, with: ["axis": -2])
        }
        for row in 0..<3 {
            let expected = learnedStep(Array(Self.values[4 * row..<4 * row + 4]), step: steps[row], zero: Float(zeros[row]), low: 0, high: 255)
            #expect(Array(found[0][4 * row..<4 * row + 4]) == expected.x)
            #expect(abs(found[1][row] - expected.step) < 1e-3 * max(abs(expected.step), 0.1))
        }
    }

    @Test func quantizationInBlocksFollowsLSQ() throws {
        let steps: [Float] = [0.05, 0.004, 0.01, 0.3]
        let found = try gradients(opset: 21) { s in
            let (x, step) = (s.input([2, 6], Self.values), s.input([2, 2], steps))
            let zero = s.constant { Tensor(name: $0, int8s: [0, 0, 0, 0], dims: [2, 2]) }
            let q = s.node("QuantizeLinear", x, step, zero, with: ["axis": 1, "block_size": 3])
            return s.node("DequantizeLinear", q, step, zero, with: ["axis": 1, "block_size": 3])
        }
        for block in 0..<4 {
            let expected = learnedStep(Array(Self.values[3 * block..<3 * block + 3]), step: steps[block], zero: 0, low: -128, high: 127)
            #expect(Array(found[0][3 * block..<3 * block + 3]) == expected.x)
            #expect(abs(found[1][block] - expected.step) < 1e-3 * max(abs(expected.step), 0.1))
        }
    }

    /// A weight stored as integers trains its scale: dy/ds is the integer less its zero point.
    @Test func dequantizationAloneTrainsItsScale() throws {
        let found = try gradients { s in
            let q = s.constant { Tensor(name: $0, int8s: [-3, 5, 127, 0], dims: [2, 2]) }
            return s.node("DequantizeLinear", q, s.input([2], [0.5, 0.25]), with: ["axis": 1])
        }
        #expect(found == [[-3 + 127, 5]])
    }

    // MARK: Ties

    @Test func theFirstOfEqualMaximaInAWindowTakesAll() throws {
        let flat = try gradients { $0.node("MaxPool", $0.input([1, 1, 4, 4], [Float](repeating: 3, count: 16)), with: ["kernel_shape": [2, 2], "strides": [2, 2]]) }
        #expect(flat == [[1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]])
        let overlapping = try gradients { $0.node("MaxPool", $0.input([1, 1, 3, 3], [0, 2, 0, 2, 2, 2, 0, 2, 0]), with: ["kernel_shape": [2, 2]]) }
        #expect(overlapping == [[0, 2, 0, 1, 1, 0, 0, 0, 0]])
        // All zeros behind a ReLU, with pads: pads are never the maximum.
        let padded = try gradients { $0.node("MaxPool", $0.input([1, 1, 2, 2], [0, 0, 0, 0]), with: ["kernel_shape": [3, 3], "pads": [1, 1, 1, 1]]) }
        #expect(padded[0].reduce(0, +) == 4)
    }

    @Test func equalInputsOfAMaximumShareNothing() throws {
        #expect(try gradients { $0.node("Max", $0.input([3], [1, 2, 3]), $0.input([3], [1, 5, 0])) } == [[1, 0, 1], [0, 1, 0]])
    }

    @Test func equalElementsOfAReductionShareEvenly() throws {
        #expect(try gradients { $0.node("ReduceMax", $0.input([1, 4], [2, 7, 7, 1])) } == [[0, 0.5, 0.5, 0]])
        #expect(try gradients { $0.node("GlobalMaxPool", $0.input([1, 1, 2, 2], [7, 7, 7, 7])) } == [[0.25, 0.25, 0.25, 0.25]])
    }

    /// PyTorch gives zero here as well; the formula as it stands gives 0/0.
    @Test func aNormOfZerosHasNoGradient() throws {
        #expect(try gradients { $0.node("ReduceL2", $0.input([1, 3], [0, 0, 0])) } == [[0, 0, 0]])
    }

    @Test func aReLUOfZeroHasNoGradient() throws {
        #expect(try gradients { $0.node("Relu", $0.input([4], [-1, 0, 1e-30, 2])) } == [[0, 0, 1, 1]])
    }
}
