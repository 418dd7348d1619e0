import Measurement
import ModelGraph

/// Where an exit stands and what it reads.
struct ExitSite: Sendable {
    /// The value behind which the network is cut.
    var cut: String
    /// Where the cut is a quantized value: the DequantizeLinear that reads it.
    var dequantize: Node?
    /// Share of the network's MACs up to here.
    var fraction: Double
    /// Layers right before the cut, by position.
    var layer: Int
    /// Whether channels stand last, as in sequences; second otherwise, as in images.
    var channelsLast: Bool
}

/// Makes the nodes of an exit: its features, its answer, and the branch behind which the rest of the network lies.
struct ExitGraph {
    private var names: NameSupply
    private let opset: Int
    /// What the model gives: float32 logits or probabilities need no further node.
    private let outputType: ElementType
    private let givesProbabilities: Bool
    /// The batch is one sample, so that nothing needs to be gathered.
    private let isSingle: Bool

    init(_ model: Model, outputType: ElementType, givesProbabilities: Bool, isSingle: Bool) {
        names = NameSupply(model.graph)
        opset = model.opset
        self.outputType = outputType
        self.givesProbabilities = givesProbabilities
        self.isSingle = isSingle
    }

    /// Nodes that turn a cut's value into a row of features for each sample: averages over a grid of equal cells for each channel.
    struct Features {
        var nodes: [Node]
        /// rows × features, float32.
        var value: String
        /// Features of a sample; `nil` while the shape is unknown.
        var width: Int?
    }

    /// - Parameters:
    ///   - shape: of the cut's value at batch 1.
    ///   - grid: cells along each spatial axis at most; 1 averages over everything.
    ///   - largest: features at most; the grid gives way.
    mutating func features(of site: ExitSite, shape: [Int], grid: Int, largest: Int, prefix: String) -> Features {
        var nodes: [Node] = []
        var value = site.cut
        func add(_ type: String, _ suffix: String, _ attributes: [Attribute] = [], _ names: inout NameSupply) {
            let output = names.fresh(prefix + suffix)
            nodes.append(Node(type, name: prefix + suffix, inputs: [value], outputs: [output], attributes: attributes))
            value = output
        }
        if var copy = site.dequantize {
            let output = names.fresh(prefix + "/dequantized")
            copy.name = prefix + "/DequantizeLinear"
            copy.outputs = [output]
            nodes.append(copy)
            value = output
        }
        // Of float32 this is nothing, and the runtime takes it out.
        add("Cast", "/Cast", [Attribute("to", .integer(Int(ElementType.float32.rawValue)))], &names)
        guard shape.count > 2 else {
            return Features(nodes: nodes, value: value, width: shape.count == 2 ? shape[1] : nil)
        }
        let rank = shape.count
        if site.channelsLast { add("Transpose", "/Transpose", [Attribute("perm", .integers([0, rank - 1] + Array(1..<(rank - 1))))], &names) }
        let channels = site.channelsLast ? shape[rank - 1] : shape[1]
        let spatial = site.channelsLast ? Array(shape[1..<(rank - 1)]) : Array(shape[2...])
        var cells = max(grid, 1)
        func kernel(_ cells: Int) -> [Int] { spatial.map { max(($0 + cells - 1) / cells, 1) } }
        func width(_ cells: Int) -> Int { zip(spatial, kernel(cells)).reduce(channels) { $0 * max($1.0 / $1.1, 1) } }
        while cells > 1, width(cells) > largest { cells -= 1 }
        if cells == 1 {
            add("GlobalAveragePool", "/GlobalAveragePool", [], &names)
        } else if kernel(cells).contains(where: { $0 > 1 }) {
            let size = kernel(cells)
            add("AveragePool", "/AveragePool", [Attribute("kernel_shape", .integers(size)), Attribute("strides", .integers(size))], &names)
        }
        add("Flatten", "/Flatten", [Attribute("axis", .integer(1))], &names)
        return Features(nodes: nodes, value: value, width: cells == 1 ? channels : width(cells))
    }

    /// An exit in place: nodes and constants of the graph that holds it, and what is known of it.
    struct Placed {
        var nodes: [Node]
        var initializers: [Tensor]
        var exit: ExitDeclaration.Exit
        /// Leave flags, by row: those who leave, of type bool.
        fileprivate var leaves: String
        fileprivate var condition: String
    }

    /// Nodes from features to the condition of the branch.
    mutating func exit(_ head: RidgeHead, features: Features, site: ExitSite, classes: Int, threshold: Double, share: Double, prefix: String) -> Placed {
        func fresh(_ suffix: String) -> String { names.fresh(prefix + suffix) }
        let weight = fresh("/weight")
        let bias = fresh("/bias")
        let level = fresh("/threshold")
        let logits = fresh("/logits")
        let chances = fresh("/probabilities")
        let confidence = fresh("/confidence")
        let leaves = fresh("/leaves")
        let counted = fresh("/counted")
        let all = fresh("/all")
        let condition = fresh("/everybody")
        var initializers = [
            Tensor(name: weight, floats: head.weights, dims: [head.weights.count / max(classes, 1), classes]), Tensor(name: bias, floats: head.bias, dims: [classes]),
            Tensor(name: level, floats: [Float(threshold)], dims: []),
        ]
        func node(_ type: String, _ inputs: [String], _ output: String, _ attributes: [Attribute] = []) -> Node {
            Node(type, name: "\(prefix)/\(type)" + (type == "Cast" ? "/" + output : ""), inputs: inputs, outputs: [output], attributes: attributes)
        }
        var nodes = features.nodes
        nodes.append(node("Gemm", [features.value, weight, bias], logits))
        nodes.append(node("Softmax", [logits], chances, [Attribute("axis", .integer(1))]))
        // The axes became an input with operator set 18.
        if opset >= 18 {
            let axes = fresh("/axes")
            initializers.append(Tensor(name: axes, int64s: [1], dims: [1]))
            nodes.append(node("ReduceMax", [chances, axes], confidence, [Attribute("keepdims", .integer(0))]))
        } else {
            nodes.append(node("ReduceMax", [chances], confidence, [Attribute("axes", .integers([1])), Attribute("keepdims", .integer(0))]))
        }
        // A confidence that is no number is not greater than anything: its sample stays.
        nodes.append(node("Greater", [confidence, level], leaves))
        nodes.append(node("Cast", [leaves], counted, [Attribute("to", .integer(Int(ElementType.int32.rawValue)))]))
        nodes.append(node("ReduceMin", [counted], all, [Attribute("keepdims", .integer(0))]))
        nodes.append(node("Cast", [all], condition, [Attribute("to", .integer(Int(ElementType.bool.rawValue)))]))
        var answer = givesProbabilities ? chances : logits
        if outputType != .float32 {
            let cast = fresh("/answer")
            nodes.append(node("Cast", [answer], cast, [Attribute("to", .integer(Int(outputType.rawValue)))]))
            answer = cast
        }
        let exit = ExitDeclaration.Exit(
            node: prefix + "/If", cut: site.cut, gathered: isSingle ? site.cut : fresh("/gathered"), rest: fresh("/rest"), answer: answer, confidence: confidence,
            threshold: level, share: share)
        return Placed(nodes: nodes, initializers: initializers, exit: exit, leaves: leaves, condition: condition)
    }

    /// The If of an exit: its own answer where everybody leaves, else the rest run on the rows of those who stay.
    /// - Parameters:
    ///   - rest: nodes that make `exit.rest` from `exit.gathered`.
    ///   - output: the value the If gives.
    mutating func branch(_ placed: Placed, rest: [Node], initializers: [Tensor], output: String, prefix: String) -> Node {
        let exit = placed.exit
        func fresh(_ suffix: String) -> String { names.fresh(prefix + suffix) }
        let left = fresh("/left")
        let leave = Graph(
            name: prefix + "/leave", nodes: [Node("Identity", name: prefix + "/Identity", inputs: [exit.answer], outputs: [left])],
            outputs: [ValueInfo(name: left, elementType: outputType, shape: nil)])
        var nodes: [Node] = []
        var result = exit.rest
        if isSingle {
            nodes = rest
        } else {
            let stays = fresh("/stays")
            let places = fresh("/places")
            let rows = fresh("/rows")
            result = fresh("/joined")
            nodes.append(Node("Not", name: prefix + "/Not", inputs: [placed.leaves], outputs: [stays]))
            nodes.append(
                Node("Compress", name: prefix + "/Compress", inputs: [exit.cut, stays], outputs: [exit.gathered], attributes: [Attribute("axis", .integer(0))]))
            nodes += rest
            nodes.append(Node("NonZero", name: prefix + "/NonZero", inputs: [stays], outputs: [places]))
            nodes.append(Node("Transpose", name: prefix + "/rows/Transpose", inputs: [places], outputs: [rows], attributes: [Attribute("perm", .integers([1, 0]))]))
            nodes.append(Node("ScatterND", name: prefix + "/ScatterND", inputs: [exit.answer, rows, exit.rest], outputs: [result]))
        }
        let stay = Graph(
            name: prefix + "/stay", nodes: nodes, outputs: [ValueInfo(name: result, elementType: outputType, shape: nil)], initializers: initializers)
        return Node(
            "If", name: exit.node, inputs: [placed.condition], outputs: [output],
            attributes: [Attribute("then_branch", .graph(leave)), Attribute("else_branch", .graph(stay))])
    }
}
