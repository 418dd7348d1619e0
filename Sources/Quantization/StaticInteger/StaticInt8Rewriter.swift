import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Carries out static 8-bit quantization on one model: folds, calibrates, and puts quantize–dequantize pairs in place.
struct StaticInt8Rewriter {
    private var model: Model
    private let context: RewriteContext
    /// Layers by node index in `model`, in graph order.
    private var layers: [Int: LayerTarget] = [:]
    private let activationCodes: ClosedRange<Int>
    private let activationType: ElementType
    private let settings: ParameterValues
    /// The layers that compute in float, where integers are slower.
    private(set) var floatLayers: [LayerTarget] = []

    /// - Throws: `EngineError` if the model's operator set cannot be raised as far as needed.
    init(_ model: Model, targets: [LayerTarget], context: RewriteContext) throws {
        self.model = model
        self.context = context
        // What concerns values between layers is the same for all.
        settings = targets.first?.parameters ?? ParameterValues()
        let signed = settings.choice("activations") == "int8"
        activationCodes = signed ? -128...127 : 0...255
        activationType = signed ? .int8 : .uint8
        let before = self.model.opset
        if try OperatorSetLift.lift(&self.model) {
            context.notes.add("operator set raised from \(before) to \(OperatorSetLift.target), the first with integer operators")
        }
        for target in targets { layers[target.layer.nodeIndex] = target }
        let stacked = targets.filter { StaticInt8.granularity($0.parameters) != StaticInt8.granularity($0.parameters, $0.layer) }
        if !stacked.isEmpty { context.notes.add("one scale for all weights of stacked matrices: \(RewriteContext.Notes.list(stacked.map(\.layer.id)))") }
    }

    mutating func rewritten() throws -> Model {
        foldNormalization()
        PadFolding.fold(&model) { layers[$0] != nil }
        mergeProductBiases()
        let whole = IntegerRegion(model, layers: Set(layers.keys), carry: settings.flag("carry"))
        let choosing = settings.choice("target") == "fastest" ? context.clock : nil
        let ranges = try calibrate(choosing == nil ? whole.quantized.filter { whole.gridSource[$0] == nil } : whole.quantizable, whole)
        context.progress(0.95, "quantizing weights")
        var region = whole
        if let choosing { region = try fastest(whole, ranges, clock: choosing) }
        var result = try emitted(model, region, ranges)
        result.graph.removeDeadCode()
        RequantizationGuard.protect(&result)
        if InstructionSet.saturates, region.layers.contains(where: { layers[$0]?.parameters.choice("weight-bits") == "8" }) {
            context.notes.add("sums of 8-bit weights overflow on this processor, which has no VNNI; weight-bits=7 avoids it")
        }
        floatLayers = layers.filter { !region.layers.contains($0.key) }.sorted { $0.key < $1.key }.map(\.value)
        return result
    }

    private func emitted(_ model: Model, _ region: IntegerRegion, _ ranges: [String: AffineGrid]) throws -> Model {
        var grids = ranges
        for name in region.quantized { if let source = region.gridSource[name] { grids[name] = ranges[source] } }
        var emitter = QDQEmitter(
            model, region: region, grids: grids, activationType: activationType, perAxis: layers.values.contains { $0.parameters.choice("weights") != "tensor" })
        for (position, target) in layers.sorted(by: { $0.key < $1.key }) where region.layers.contains(position) {
            try context.cancellation.check()
            try quantizeWeights(of: position, target, region: region, grids: grids, into: &emitter)
        }
        return emitter.finish()
    }

    // MARK: - What is worth it

    /// The part of the region that is fastest in integers on this machine, as found now or earlier.
    private func fastest(_ whole: IntegerRegion, _ ranges: [String: AffineGrid], clock: any OperatorClock) throws -> IntegerRegion {
        var key = model.structureHash
        let inputs = model.graph.inputs.map { "\($0.name) \(context.shapes[$0.name] ?? [])" }
        key.combine("\(clock.conditions) \(inputs) \(whole.nodes.sorted()) \(activationType) \(settings.choice("weights"))")
        let nodes: Set<Int>
        if let known = clock.chosen(key) {
            nodes = Set(known.compactMap { Int($0) })
        } else {
            context.progress(0.96, "timing integer layers")
            let choice = IntegerChoice(model, whole: whole, shapes: context.shapes, clock: clock, cancellation: context.cancellation) { marked, region in
                var result = try emitted(marked, region, ranges)
                result.graph.removeDeadCode()
                return result
            }
            nodes = try choice.best()
            clock.keep(nodes.sorted().map(String.init), for: key)
        }
        let region = IntegerRegion(whole, nodes: nodes)
        let float = whole.layers.subtracting(region.layers).sorted().compactMap { layers[$0]?.layer.id }
        if !float.isEmpty {
            let all = float.count == whole.layers.count
            context.notes.add(
                all
                    ? "integers are slower than float on this machine: all layers compute in float, with 8-bit weights (target=integer: in integers)"
                    : "\(float.count) of \(whole.layers.count) layers compute in float, with 8-bit weights, where integers are slower on this machine "
                        + "(target=integer: all in integers): \(RewriteContext.Notes.list(float))")
        }
        return region
    }

    // MARK: - Bringing layers into shape

    private mutating func foldNormalization() {
        let result = BatchNormFolding.fold(&model, arithmetic: true) { layers[$0] != nil }
        move(result.positions)
        if !result.merged.isEmpty {
            context.notes.add("scaling or bias behind \(result.merged.count) convolutions folded into them: \(RewriteContext.Notes.list(result.merged))")
        }
        if !result.folded.isEmpty {
            context.notes.add("BatchNormalization folded into \(result.folded.count) convolutions: \(RewriteContext.Notes.list(result.folded))")
        }
    }

    private mutating func move(_ positions: [Int: Int]) {
        layers = Dictionary(uniqueKeysWithValues: layers.compactMap { key, value in positions[key].map { ($0, value) } })
    }

    /// Turns a product of matrices followed by a constant bias into Gemm.
    ///
    /// ONNX Runtime would do so itself, but with the bias in float, and then finds no integer kernel for it.
    private mutating func mergeProductBiases() {
        let index = GraphIndex(model.graph)
        var removed = Set<Int>()
        for (position, target) in layers where target.layer.kind == .matMul && target.layer.weightShape.count == 2 {
            let node = model.graph.nodes[position]
            guard let input = node.input(0), rank(input) == 2, let output = node.outputs.first, index.useCount(output) == 1,
                let consumer = index.consumers[output]?.first, model.graph.nodes[consumer].isStandard("Add")
            else { continue }
            let add = model.graph.nodes[consumer]
            guard let bias = add.inputs.first(where: { $0 != output }), let tensor = model.graph.initializers[bias],
                tensor.elementType == .float32, tensor.count == target.layer.weightShape[1], tensor.dims.last == tensor.count, tensor.dims.count <= 2
            else { continue }
            model.graph.nodes[position].opType = "Gemm"
            model.graph.nodes[position].inputs.append(bias)
            // An unnamed layer is known by its output: give it the name it went by.
            if node.name.isEmpty { model.graph.nodes[position].name = target.layer.id }
            model.graph.nodes[position].outputs = add.outputs
            removed.insert(consumer)
        }
        guard !removed.isEmpty else { return }
        let kept = model.graph.nodes.indices.filter { !removed.contains($0) }
        model.graph.nodes = kept.map { model.graph.nodes[$0] }
        move(Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) }))
    }

    private func rank(_ value: String) -> Int? {
        context.shapes[value]?.count ?? model.graph.valueInfos[value]?.shape?.count ?? model.graph.inputs.first { $0.name == value }?.shape?.count
    }

    // MARK: - Calibration

    private func method(_ parameters: ParameterValues) -> CalibrationMethod {
        switch parameters.choice("calibration") {
        case "percentile": .percentile(parameters.real("percentile"))
        case "entropy": .entropy
        case "mse": .mse
        default: .minmax
        }
    }

    /// Numbers of a value from which on its range is taken for known.
    private static let enough = 256

    /// The grid of each value.
    private func calibrate(_ values: [String], _ region: IntegerRegion) throws -> [String: AffineGrid] {
        // A value goes by the layer that makes it, else by the first that reads it.
        var methods: [String: CalibrationMethod] = [:]
        for (position, target) in layers.sorted(by: { $0.key > $1.key }) {
            if let input = region.operands(position).first { methods[input] = method(target.parameters) }
        }
        for (position, target) in layers { methods[region.quantizationPoint(position)] = method(target.parameters) }
        let watch = Dictionary(uniqueKeysWithValues: values.map { ($0, (methods[$0] ?? method(settings)).needsHistogram) })
        let statistics = try ActivationCalibration.statistics(of: model, names: watch, limit: settings.integer("samples"), context: context)
        var grids: [String: AffineGrid] = [:]
        let scarce = region.quantized.filter { region.gridSource[$0] == nil && (1..<Self.enough).contains(statistics[$0]?.count ?? 0) }.sorted()
        if !scarce.isEmpty {
            context.notes.add("ranges from fewer than \(Self.enough) values, which other data may exceed; use more calibration samples: \(RewriteContext.Notes.list(scarce))")
        }
        for name in values {
            guard let seen = statistics[name] else { continue }
            let (low, high) = (methods[name] ?? method(settings)).range(seen, codes: activationCodes, symmetric: false)
            var grid = AffineGrid(minimum: low, maximum: high, codes: activationCodes, symmetric: false)
            if let bound = region.upperBound(name) { Self.keep(&grid, within: bound, codes: activationCodes) }
            grids[name] = grid
        }
        return grids
    }

    /// Makes sure that the largest code does not exceed a Clip's bound by a rounding error: the Clip could then not be
    /// absorbed, and the whole layer would fall back to float.
    private static func keep(_ grid: inout AffineGrid, within bound: Float, codes: ClosedRange<Int>) {
        while Float(codes.upperBound - grid.zeroPoint) * grid.scale > bound, bound > 0 {
            let next = grid.scale.nextDown
            guard next > 0, Float(codes.upperBound - grid.zeroPoint) * grid.scale < bound * 1.001 else { return }
            grid.scale = next
        }
    }

    // MARK: - Weights

    private func quantizeWeights(
        of position: Int, _ target: LayerTarget, region: IntegerRegion, grids: [String: AffineGrid], into emitter: inout QDQEmitter
    ) throws {
        let node = model.graph.nodes[position]
        let layer = target.layer
        guard let input = node.input(0), let inputGrid = grids[input], let weightName = node.input(1),
            var weight = model.graph.initializers[weightName]
        else { throw EngineError(.technique, "layer '\(layer.id)': its input was not calibrated") }
        let alpha = layer.kind == .gemm ? node.float("alpha") ?? 1 : 1
        let beta = layer.kind == .gemm ? node.float("beta") ?? 1 : 1
        if alpha != 1, let values = weight.floats() { weight = weight.withFloats(values.map { $0 * alpha }) }
        let layout =
            StaticInt8.granularity(target.parameters, layer) == .tensor
            ? ScaleLayout(.tensor, dims: weight.dims) : ScaleLayout(.axis(layer.outputAxis), dims: weight.dims)
        let bias = try bias(node, outputs: weight.dims[layer.outputAxis], factor: beta)
        let quantized = try WeightQuantizer.quantize(
            weight, layout: layout, format: StaticInt8.weightFormat(target.parameters),
            adjust: { scales, ranges in Self.adjust(&scales, ranges, bias: bias, inputScale: inputGrid.scale) }, memo: context.memo)
        emitter.edit(position) { node in
            node.set("alpha", nil)
            node.set("beta", nil)
        }
        emitter.setWeight(position, quantized, name: weightName)
        if let bias { emitter.setBias(position, bias, weight: quantized, inputScale: inputGrid.scale, name: node.input(2) ?? weightName) }
    }

    private func bias(_ node: Node, outputs: Int, factor: Float) throws -> [Float]? {
        guard let name = node.input(2) else { return nil }
        guard let values = model.graph.initializers[name]?.floats() else {
            throw EngineError(.technique, "node '\(node.name)': its bias is not a constant")
        }
        let full = values.count == outputs ? values : [Float](repeating: values.first ?? 0, count: outputs)
        return factor == 1 ? full : full.map { $0 * factor }
    }

    /// Raises scales so that the 32-bit bias, whose step is input scale × weight scale, reaches the largest bias; and
    /// gives a filter of zeros a scale like its neighbors', so that its bias keeps its precision.
    private static func adjust(_ scales: inout [Float], _ ranges: [(low: Float, high: Float)], bias: [Float]?, inputScale: Float) {
        let used = scales.indices.filter { ranges[$0].low < 0 || ranges[$0].high > 0 }
        let typical = used.map { scales[$0] }.max() ?? 1
        for index in scales.indices {
            if ranges[index].low == 0, ranges[index].high == 0 { scales[index] = typical }
            guard let bias else { continue }
            let largest = scales.count == 1 ? bias.reduce(0) { max($0, abs($1)) } : abs(bias[index])
            scales[index] = max(scales[index], largest / (inputScale * 1_073_741_824))
        }
    }
}
