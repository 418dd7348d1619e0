import EngineSupport
import ModelGraph
import Training

/// What a weight is quantized to while training and after.
package struct WeightGrid: Hashable, Sendable {
    /// 1…8; 2 where ternary.
    var bits: Int
    var isTernary: Bool
    var granularity: Granularity
    var learnsScales: Bool

    /// Steps from 0 to the largest value.
    var reach: Float { bits == 1 || isTernary ? 1 : Float((1 << (bits - 1)) - 1) }
    /// As in LSQ the grid has one value more below zero than above.
    var lowest: Float { bits == 1 || isTernary ? -1 : -Float(1 << (bits - 1)) }
    /// Two learned values for the whole tensor, one for either sign (Zhu et al. 2017).
    var isTwoSided: Bool { isTernary && learnsScales && granularity == .tensor }

    var format: WeightFormat {
        WeightFormat(bits: bits, symmetric: true, codes: bits == 1 || isTernary ? nil : Int(lowest)...Int(reach), levels: isTernary ? .ternary : .uniform)
    }
}

/// The nodes that round a weight in the training graph, all plain float operators:
///
/// - 2 to 8 bits: s · round(clip(w/s, −2^(b−1), 2^(b−1) − 1)), whose chain of straight-through rules is LSQ's gradient exactly.
/// - 1 bit: α · sign(w), the gradient passing where |w| is at most twice the channel's mean magnitude at the start.
/// - ternary: α · round(clip(w/2Δ, −1, 1)) with Δ = 0.7 · mean|w| (Li, Zhang and Liu 2016).
struct WeightFakeQuantizer: Sendable {
    let weight: String
    let grid: WeightGrid
    let layout: ScaleLayout
    /// Whole numbers of the weight's shape.
    private(set) var codes = ""
    /// The factors of codes, one for each scale of the layout; of two-sided grids the value that positive codes have.
    private(set) var scale = ""
    /// What negative codes of a two-sided grid have.
    private(set) var negativeScale: String?
    /// What the layer reads: codes times scales.
    private(set) var value = ""
    private(set) var scales: [LearnedScale] = []

    /// Adds the quantizer of a float32 weight to the front of the main graph.
    /// - Parameter rate: learning rate of a scale of size 1, and whether it goes with the scale's size (Adam's steps do not
    ///   shrink with the gradient).
    init(_ tensor: Tensor, of layer: Layer, grid: WeightGrid, relativeRate: Bool, editor: inout GraphEditor) throws {
        weight = tensor.name
        self.grid = grid
        layout = try WeightView(tensor, of: layer, granularity: grid.granularity, groupSize: 0).layout
        guard let values = tensor.floats() else { throw EngineError(.technique, "'\(tensor.name)' cannot be read as numbers") }
        let means = Self.means(values, layout) { abs($0) }
        if grid.bits == 1 {
            binary(means, relativeRate, &editor)
        } else if grid.isTernary {
            ternary(values, means, relativeRate, &editor)
        } else {
            uniform(means, relativeRate, &editor)
        }
    }

    // MARK: Grids

    private mutating func uniform(_ means: [Float], _ relativeRate: Bool, _ editor: inout GraphEditor) {
        let steps = means.map { 2 * $0 / grid.reach.squareRoot() }
        scale = trainedScale(steps, dims: broadcastDims, "\(weight)_step", relativeRate, &editor)
        let ratio = node("Div", [weight, scale], &editor)
        let clipped = clip(ratio, grid.lowest, grid.reach, &editor)
        codes = node("Round", [clipped], &editor)
        value = node("Mul", [codes, scale], &editor, named: "\(weight)_rounded")
    }

    private mutating func binary(_ means: [Float], _ relativeRate: Bool, _ editor: inout GraphEditor) {
        let width = editor.add(Tensor(name: "", floats: floored(means).values, dims: broadcastDims), "\(weight)_width", at: .main)
        // ⌊t/2⌋ of t in −2 ..< 2 is −1 or 0, and counts as t/2 on the way back.
        let clipped = clip(node("Div", [weight, width], &editor), -2, Float(2).nextDown, &editor)
        let floor = node("Floor", [node("Mul", [clipped, scalar(0.5, &editor)], &editor)], &editor)
        codes = node("Add", [node("Mul", [floor, scalar(2, &editor)], &editor), scalar(1, &editor)], &editor)
        if grid.learnsScales {
            scale = trainedScale(means, dims: broadcastDims, "\(weight)_magnitude", relativeRate, &editor)
        } else {
            scale = mean(node("Abs", [weight], &editor), &editor)
        }
        value = node("Mul", [codes, scale], &editor, named: "\(weight)_rounded")
    }

    private mutating func ternary(_ values: [Float], _ means: [Float], _ relativeRate: Bool, _ editor: inout GraphEditor) {
        let magnitudes = node("Abs", [weight], &editor)
        let tiny = scalar(1e-12, &editor)
        let width = node("Add", [node("Mul", [mean(magnitudes, &editor), scalar(1.4, &editor)], &editor), tiny], &editor)
        codes = node("Round", [clip(node("Div", [weight, width], &editor), -1, 1, &editor)], &editor)
        /// Mean magnitude of what does not become 0, under each scale.
        func kept(_ wanted: (Float) -> Bool) -> [Float] {
            var (sums, counts) = ([Float](repeating: 0, count: means.count), [Float](repeating: 0, count: means.count))
            for (index, value) in values.enumerated() where wanted(value) {
                let scale = layout.scaleIndex(of: index)
                guard abs(value) > 0.7 * means[scale] else { continue }
                sums[scale] += abs(value)
                counts[scale] += 1
            }
            return zip(sums, counts).map { $1 > 0 ? $0 / $1 : 0 }
        }
        if grid.isTwoSided {
            scale = trainedScale(kept { $0 > 0 }, dims: [1], "\(weight)_positive", relativeRate, &editor)
            let negative = trainedScale(kept { $0 < 0 }, dims: [1], "\(weight)_negative", relativeRate, &editor)
            negativeScale = negative
            let isPositive = node("Greater", [weight, scalar(0, &editor)], &editor)
            value = node("Mul", [codes, node("Where", [isPositive, scale, negative], &editor)], &editor, named: "\(weight)_rounded")
            return
        }
        if grid.learnsScales {
            scale = trainedScale(kept { _ in true }, dims: broadcastDims, "\(weight)_magnitude", relativeRate, &editor)
        } else {
            // Comparisons carry no gradient: who is counted is taken as given.
            let isKept = node("Greater", [magnitudes, node("Mul", [width, scalar(0.5, &editor)], &editor)], &editor)
            let counted = editor.scratch()
            editor.addFront(.cast(isKept, counted, to: .float32), at: .main)
            let share = node("Add", [mean(counted, &editor), tiny], &editor)
            scale = node("Div", [mean(node("Mul", [magnitudes, counted], &editor), &editor), share], &editor)
        }
        value = node("Mul", [codes, scale], &editor, named: "\(weight)_rounded")
    }

    // MARK: Scales

    /// Shape in which scales broadcast over the weight.
    private var broadcastDims: [Int] {
        switch layout.kind {
        case .tensor: return [1]
        case .axis(let axis): return layout.dims.indices.map { $0 == axis ? layout.dims[axis] : 1 }
        case .blocks(let axis, _): return layout.dims.indices.map { $0 == axis ? layout.blockCount : layout.dims[$0] }
        }
    }

    /// Axes over which elements share a scale.
    private var sharingAxes: [Int] {
        switch layout.kind {
        case .tensor: return Array(layout.dims.indices)
        case .axis(let axis): return layout.dims.indices.filter { $0 != axis }
        case .blocks(let axis, _): return [axis]
        }
    }

    /// Mean of what `measure` makes of the elements under each scale.
    private static func means(_ values: [Float], _ layout: ScaleLayout, _ measure: (Float) -> Float) -> [Float] {
        var sums = [Double](repeating: 0, count: layout.scaleCount)
        for (index, value) in values.enumerated() { sums[layout.scaleIndex(of: index)] += Double(measure(value)) }
        let each = Double(values.count) / Double(max(layout.scaleCount, 1))
        return sums.map { Float($0 / max(each, 1)) }
    }

    /// Sizes none of which is so small that dividing by it is of no use, and the smallest allowed.
    private func floored(_ sizes: [Float]) -> (values: [Float], minimum: Float) {
        let mean = sizes.reduce(0, +) / Float(max(sizes.count, 1))
        let minimum = max(mean * 1e-3, 1e-8)
        return (sizes.map { max($0, minimum) }, minimum)
    }

    private mutating func trainedScale(_ sizes: [Float], dims: [Int], _ base: String, _ relativeRate: Bool, _ editor: inout GraphEditor) -> String {
        let (values, minimum) = floored(sizes)
        let name = editor.add(Tensor(name: "", floats: values, dims: dims), base, at: .main)
        guard grid.learnsScales else { return name }
        let each = Float(layout.dims.reduce(1, *)) / Float(max(values.count, 1))
        let mean = values.reduce(0, +) / Float(max(values.count, 1))
        scales.append(
            LearnedScale(name: name, gradientFactor: 1 / (each * grid.reach).squareRoot(), rate: relativeRate ? mean : 1, minimum: minimum))
        return name
    }

    // MARK: Nodes

    private func node(_ type: String, _ inputs: [String], _ editor: inout GraphEditor, named base: String? = nil) -> String {
        let output = base.map { editor.fresh($0) } ?? editor.scratch()
        editor.addFront(.op(type, inputs, output), at: .main)
        return output
    }

    private func scalar(_ value: Float, _ editor: inout GraphEditor) -> String {
        editor.constant(Tensor(name: "", floats: [value], dims: []), at: .main)
    }

    private func clip(_ input: String, _ low: Float, _ high: Float, _ editor: inout GraphEditor) -> String {
        node("Clip", [input, scalar(low, &editor), scalar(high, &editor)], &editor)
    }

    private func mean(_ input: String, _ editor: inout GraphEditor) -> String {
        let output = editor.scratch()
        var inputs = [input]
        var attributes: [Attribute] = []
        // Axes became an input with operator set 18.
        if editor.model.opset >= 18 {
            inputs.append(editor.constant(Tensor(name: "", int64s: sharingAxes.map(Int64.init), dims: [sharingAxes.count]), at: .main))
        } else {
            attributes = [Attribute("axes", .integers(sharingAxes))]
        }
        editor.addFront(.op("ReduceMean", inputs, output, attributes), at: .main)
        return output
    }
}
