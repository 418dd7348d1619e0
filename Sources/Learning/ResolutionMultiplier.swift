import EngineSupport
import ModelGraph
import Techniques
import Training

/// The same network over a smaller image.
public struct ResolutionMultiplier: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "resolution-multiplier",
        title: "Resolution multiplier",
        family: .training,
        summary: "Makes the input image smaller and trains the network to give the same answers",
        details: """
            After the model's input, which stays the same, the image is made smaller: by averaging blocks of pixels where whole blocks fit, otherwise \
            by linear interpolation. All convolutions after it work on fewer positions; MACs and memory fall roughly with the square of the \
            resolution, and the number of weights stays. Poolings over a whole feature map become global ones. A dense layer that reads each position \
            gets one weight for each remaining position: the sum of the weights of the positions that merge, as if the feature map were repeated to \
            its old size.

            The network is then trained as a whole, by default on the softened outputs of the model before the recipe (distillation). With \
            'width-multiplier' before it a recipe scales width and resolution together. A small object needs its pixels: check how accuracy falls. \
            Networks are refused that give a result for each position of the image, depend on the number of positions, or have constants for each of \
            them.
            """,
        source: """
            Howard et al., MobileNets, arXiv:1704.04861, section 3.4 (resolution multiplier); Tan and Le, EfficientNet, ICML 2019, section 3.3 (compound scaling); Hinton, Vinyals and Dean, \
            arXiv:1503.02531 (distillation)
            """,
        parameters: [
            ParameterDescriptor(
                "resolution", title: "Resolution", domain: .real(0.1...0.95, step: 0.05), default: .real(0.5),
                help: "Share of the image's height and width that is left; 0.5 is a quarter of the pixels")
        ]
            + TrainingParameters.without("features", "scope").map { parameter in
                var parameter = parameter
                if parameter.name == "loss" { parameter.defaultValue = .choice("distillation") }
                return parameter
            },
        strength: "resolution", requires: [], produces: [.training])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        do throws(FeatureMaps.Refusal) {
            let maps = try FeatureMaps(model, layers: layers, shapes: shapes)
            return layers.indices.map { maps.convolutions[$0] != nil || maps.rows[$0] != nil ? nil : "does not work on the image" }
        } catch {
            return layers.map { _ in error.reason }
        }
    }

    /// All that see the image change together.
    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let refusals = refusals(for: layers, in: model, shapes: shapes)
        let all = layers.indices.filter { refusals[$0] == nil }
        return all.isEmpty ? [] : [all]
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        guard let source = context.training else { throw EngineError(.technique, "\(descriptor.id): needs a training split (--data) and ONNX Runtime") }
        let before = try source.shapes(of: model, cancellation: context.cancellation)
        var small = model
        try Self.shrink(&small, to: parameters.real("resolution"), shapes: before, notes: context.notes)
        // The runtime has the last word on whether everything still fits.
        let after: [String: [Int]]
        do {
            after = try source.shapes(of: small, cancellation: context.cancellation)
        } catch let error as EngineError where error.kind == .runtime {
            throw EngineError(.technique, "\(descriptor.id): the network does not run on smaller images: \(error.message)")
        }
        if let changed = model.graph.outputs.first(where: { after[$0.name] != before[$0.name] }) {
            throw EngineError(.technique, "\(descriptor.id): output '\(changed.name)' would have another shape")
        }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: small, previous: model, context: context)
        try LearningStep.run(&small, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        model = small
    }

    /// Puts the smaller image in front and makes everything fit that depends on the number of positions.
    /// - Throws: `EngineError` if too little of the image is left, or this operator set cannot make it.
    static func shrink(_ model: inout Model, to share: Double, shapes: [String: [Int]], notes: RewriteContext.Notes) throws {
        let layers = model.layers()
        let maps: FeatureMaps
        do throws(FeatureMaps.Refusal) {
            maps = try FeatureMaps(model, layers: layers, shapes: shapes)
        } catch {
            throw EngineError(.technique, "resolution-multiplier: \(error.reason)")
        }
        let image = maps.image(at: share)
        let (old, new) = (maps.maps(at: maps.size).maps, maps.maps(at: image))
        if let failure = new.failure {
            throw EngineError(.technique, "resolution-multiplier: at \(image[0]) × \(image[1]) pixels nothing is left of '\(failure)': take a larger resolution")
        }
        var supply = NameSupply(model.graph)
        for (index, entry) in maps.rows.sorted(by: { $0.key < $1.key }) {
            guard let from = old[entry.map], let to = new.maps[entry.map], from != to else { continue }
            let layer = layers[index]
            guard let weight = model.graph.initializers[layer.weight], let folded = fold(weight, axis: layer.inputAxis, channels: entry.channels, from: from, to: to) else {
                throw EngineError(.technique, "resolution-multiplier: '\(layer.weight)' cannot be read as numbers")
            }
            let name = supply.fresh(layer.weight + "/resolution")
            model.graph.initializers[name] = folded.renamed(name)
            model.graph.nodes[entry.node].inputs[1] = name
            let flattening = model.graph.nodes[entry.flattening]
            if flattening.isStandard("Reshape"), let counts = flattening.input(1).flatMap({ model.graph.initializers[$0]?.integers() }), counts.count == 2, counts[1] > 0 {
                let size = supply.fresh(flattening.inputs[1] + "/resolution")
                model.graph.initializers[size] = Tensor(name: size, int64s: [Int64(counts[0]), Int64(entry.channels * to.reduce(1, *))], dims: [2])
                model.graph.nodes[entry.flattening].inputs[1] = size
            }
        }
        for position in maps.global {
            let node = model.graph.nodes[position]
            model.graph.nodes[position] = Node(
                node.opType == "MaxPool" ? "GlobalMaxPool" : "GlobalAveragePool", name: node.name, inputs: [node.inputs[0]], outputs: [node.outputs[0]])
        }
        for position in maps.nodes {
            for output in model.graph.nodes[position].outputs where !model.graph.outputs.contains(where: { $0.name == output }) { model.graph.valueInfos[output] = nil }
        }
        try insert(maps, image, into: &model, &supply)
        notes.add("\(image[0]) × \(image[1]) of \(maps.size[0]) × \(maps.size[1]) pixels")
    }

    /// Whether each pixel of a smaller image is the mean of a block.
    private static func isWhole(_ size: [Int], _ image: [Int]) -> Bool { zip(size, image).allSatisfy { $0 % $1 == 0 } }

    /// Has all readers of the image take a smaller one.
    private static func insert(_ maps: FeatureMaps, _ image: [Int], into model: inout Model, _ supply: inout NameSupply) throws {
        let small = supply.fresh(maps.image + "/small")
        let name = supply.fresh("resolution")
        let first = model.graph.nodes.firstIndex { $0.outputs.contains(maps.image) }.map { $0 + 1 } ?? 0
        for index in model.graph.nodes.indices { model.graph.nodes[index].replaceReads([maps.image: small]) }
        let node: Node
        if isWhole(maps.size, image) {
            let window = AttributeValue.integers(zip(maps.size, image).map { $0 / $1 })
            node = Node("AveragePool", name: name, inputs: [maps.image], outputs: [small], attributes: [Attribute("kernel_shape", window), Attribute("strides", window)])
        } else {
            guard model.opset >= 11 else {
                throw EngineError(
                    .technique,
                    "resolution-multiplier: operator set \(model.opset) makes images smaller by whole blocks only: \(maps.size[0]) × \(maps.size[1]) pixels do not fit \(image[0]) × \(image[1])"
                )
            }
            // The runtime takes ⌊size · scale⌋ in single precision.
            let scales = zip(maps.size, image).map { size, wanted -> Float in
                var scale = Float(wanted) / Float(size)
                while Int(Float(size) * scale) < wanted { scale = scale.nextUp }
                return scale
            }
            let (region, factors) = (supply.fresh(name + "/region"), supply.fresh(name + "/scales"))
            model.graph.initializers[region] = Tensor(name: region, floats: [], dims: [0])
            model.graph.initializers[factors] = Tensor(name: factors, floats: [1, 1] + scales, dims: [4])
            var attributes = [Attribute("mode", .text("linear")), Attribute("coordinate_transformation_mode", .text("half_pixel"))]
            if model.opset >= 18 { attributes.append(Attribute("antialias", .integer(1))) }
            node = Node("Resize", name: name, inputs: [maps.image, region, factors], outputs: [small], attributes: attributes)
        }
        model.graph.nodes.insert(node, at: first)
    }

    /// Sums of the weights of positions that merge when a feature map is repeated to its old size by nearest neighbors.
    static func fold(_ weight: Tensor, axis: Int, channels: Int, from: [Int], to: [Int]) -> Tensor? {
        guard let values = weight.floats(), weight.dims.count == 2, weight.dims[axis] == channels * from[0] * from[1] else { return nil }
        let others = weight.dims[1 - axis]
        let (many, few) = (weight.dims[axis], channels * to[0] * to[1])
        var sums = [Double](repeating: 0, count: few * others)
        for channel in 0..<channels {
            for row in 0..<from[0] {
                for column in 0..<from[1] {
                    let source = (channel * from[0] + row) * from[1] + column
                    let target = (channel * to[0] + row * to[0] / from[0]) * to[1] + column * to[1] / from[1]
                    for other in 0..<others {
                        let (read, write) = axis == 0 ? (source * others + other, target * others + other) : (other * many + source, other * few + target)
                        sums[write] += Double(values[read])
                    }
                }
            }
        }
        var dims = weight.dims
        dims[axis] = few
        return weight.withFloats(sums.map { Float($0) }, dims: dims)
    }

    public var forecastFacets: [any ForecastFacet.Type] { [FeatureMaps.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        guard let maps = summaries[FeatureMaps.self], let values = targets.min(by: { $0.key < $1.key })?.value else { return }
        let image = maps.image(at: values.resolved(by: descriptor).real("resolution"))
        let (old, new) = (maps.maps(at: maps.size).maps, maps.maps(at: image))
        guard new.failure == nil else { return }
        func share(_ map: String) -> Double {
            guard let from = old[map], let to = new.maps[map] else { return 1 }
            return Double(to.reduce(1, *)) / Double(max(from.reduce(1, *), 1))
        }
        for (index, map) in maps.convolutions {
            states[index].macs = states[index].macs.map { $0 * share(map) }
            states[index].outputElements = states[index].outputElements.map { $0 * share(map) }
        }
        for (index, entry) in maps.rows {
            states[index].weightCount *= share(entry.map)
            states[index].macs = states[index].macs.map { $0 * share(entry.map) }
        }
        guard let first = maps.convolutions.keys.min() else { return }
        states[first].overheadBits += Double(150 * 8)
        // Resize has its scales.
        if !Self.isWhole(maps.size, image) { states[first].attachedCount += 4 }
    }
}
