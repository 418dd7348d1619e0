import Archive
import Foundation
import Measurement
import ModelGraph

/// What is prepared once about a layer's weights, so that any parameter value is answered without another pass over
/// them. Built in the background; O(weights) once.
public struct LayerSummary: Sendable {
    public var layer: Layer
    /// Elements of main and further weight matrices together.
    public var weightCount: Int
    public var biasCount: Int
    /// Exact zeros among the weights.
    public var zeroCount: Int
    /// How the ONNX file leaves them out; `nil` where it does not.
    public var sparseForm: SparseForm?
    /// Largest magnitude.
    public var maximumMagnitude: Float
    /// Mean and standard deviation of the weights.
    public var mean: Float
    public var standardDeviation: Float
    /// Magnitudes at 1,025 evenly spaced ranks (0 = smallest, 1024 = largest): the quantile function of |w|.
    public var magnitudeQuantiles: [Float]
    /// Counts of weights over 256 equal bins of [−max, max].
    public var histogram: [Int]
    /// L1 and L2 norm of each output unit (filter or neuron).
    public var outputNormsL1: [Float]
    public var outputNormsL2: [Float]
    /// MACs of one inference (batch 1); `nil` until shapes are known.
    public var macs: Double?
    /// Elements of the layer's main output at batch 1; `nil` until shapes are known.
    public var outputElements: Double?
    /// Elements of the layer's main input at batch 1; `nil` until shapes are known.
    public var inputElements: Double?
    /// Elements of tensors that follow the layer's outputs one by one and belong to no layer: normalization constants,
    /// biases in nodes of their own. Structured pruning cuts them with the outputs.
    public var attachedCount: Int = 0
    /// Which channels of the model can be removed together; the same object in all summaries of a model.
    public var channels: ChannelForecast?
    /// What single techniques' forecasts look at (`ForecastFacet`).
    public var facets = Facets()

    /// Fraction of weights with magnitude at most `threshold`.
    public func fraction(below threshold: Float) -> Double {
        var low = 0
        var high = magnitudeQuantiles.count
        while low < high {
            let middle = (low + high) / 2
            if magnitudeQuantiles[middle] <= threshold { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return 0 }
        guard low < magnitudeQuantiles.count else { return 1 }
        let below = magnitudeQuantiles[low - 1]
        let above = magnitudeQuantiles[low]
        let part = above > below ? Double((threshold - below) / (above - below)) : 0
        return (Double(low - 1) + part) / Double(magnitudeQuantiles.count - 1)
    }
}

/// One of several operators in a layer's place, as far as its time goes. Products have a window of 1 and rows as positions.
public struct LayerLink: Sendable, Hashable {
    public var inputs: Double
    public var outputs: Double
    /// Extents of the kernel.
    public var window: [Int]
    /// Groups of channels; as many as inputs for depthwise links.
    public var group: Double
    /// Positions of its output.
    public var positions: Double

    public init(inputs: Double, outputs: Double, window: [Int] = [], group: Double = 1, positions: Double) {
        (self.inputs, self.outputs, self.window, self.group, self.positions) = (inputs, outputs, window, group, positions)
    }
}

/// A layer as predicted after some steps of a recipe.
public struct LayerState: Sendable {
    /// Weights stored, after structural change (removed filters, factors).
    public var weightCount: Double
    public var biasCount: Double
    /// Fraction of stored weights that are not zero.
    public var density: Double
    /// Bits of one weight in the ONNX file.
    public var weightBits: Double
    /// How the ONNX file leaves zeros out; `nil` where it does not.
    public var sparseForm: SparseForm?
    /// Bits that come with the weights in the ONNX file: scales, zero points, codebooks, further nodes.
    public var overheadBits: Double
    /// Distinct non-zero values the weights take, where few (weight sharing, quantization); `nil` for continuous.
    public var distinctValues: Double?
    /// Entropy of one non-zero weight in bits, where `distinctValues` is set.
    public var valueEntropy: Double?
    /// MACs at batch 1; `nil` while unknown.
    public var macs: Double?
    /// Bits of one MAC operand, for the energy model: 32, 16 or 8.
    public var operandBits: Double
    /// Elements of the output at batch 1; `nil` while unknown.
    public var outputElements: Double?
    /// Elements that follow the outputs and belong to no layer (`LayerSummary.attachedCount`).
    public var attachedCount: Double
    /// Fraction of output and input channels kept so far by structured pruning.
    public var outputsKept: Double = 1
    public var inputsKept: Double = 1
    /// Change of MACs in nodes beside the layer that belong to none, such as attention's products; negative where some are saved.
    public var productMacs: Double = 0
    /// How the runtime computes it.
    public var form = KernelForm.float
    /// Whether it stays float where `form` is slower.
    public var staysFloatIfFaster = false
    /// Operators in its place, where a factorization put several; empty for one as it was.
    public var links: [LayerLink] = []
    /// Elements that are copied from place to place between them, by transpositions.
    public var movedElements = 0.0
    /// Nodes in its place, where what they are is not known: 1 for the layer itself.
    public var nodes = 1
    /// How the packed archive codes the layer.
    public var coding = ArchiveCoding()
    /// What single techniques leave for those behind them.
    public var facets = Facets()

    /// The layer as it is in the baseline.
    public init(_ summary: LayerSummary) {
        weightCount = Double(summary.weightCount)
        biasCount = Double(summary.biasCount)
        density = summary.weightCount == 0 ? 1 : 1 - Double(summary.zeroCount) / Double(summary.weightCount)
        weightBits = Double(summary.layer.quantization?.bits ?? summary.layer.weightType.bitWidth ?? 32)
        sparseForm = summary.sparseForm
        overheadBits = 0
        macs = summary.macs
        if let quantization = summary.layer.quantization {
            form = quantization.opType == "DequantizeLinear" ? .dequantized : .dynamicInt8
        } else if summary.layer.weightType == .float16 {
            form = .half
        }
        operandBits = weightBits >= 32 ? 32 : weightBits
        outputElements = summary.outputElements
        attachedCount = Double(summary.attachedCount)
    }

    /// Non-zero weights.
    public var nonZeroCount: Double { weightCount * density }
}
