import ModelGraph
import Techniques

/// A weight tensor of a step's targets that the graph shall compute from fewer numbers.
struct WeightJob: Sendable {
    var place: WeightReaders.Place
    var tensor: Tensor
    /// The first of the targets that read it.
    var layer: Layer
    var parameters: ParameterValues
}

/// Puts values that the graph computes while loading in the place of weights. What nothing reads any more is removed by the
/// executor.
struct ComputedWeightWriter {
    /// Bytes of a node with its names, about.
    static let nodeBytes = 75

    private(set) var editor: GraphEditor
    private let model: Model
    private let targets: [LayerTarget]
    private var otherReaders: OtherReaders

    init(_ model: Model, targets: [LayerTarget]) {
        editor = GraphEditor(model)
        otherReaders = OtherReaders(model)
        self.model = model
        self.targets = targets
    }

    /// Why a layer's weights cannot be computed from fewer numbers; `nil` if they can.
    static func refusal(for layer: Layer) -> String? {
        if layer.quantization?.opType == Layer.computed { return "its weights are computed from fewer numbers already" }
        guard layer.isFloat else { return "its weights are quantized already" }
        return [.float32, .float16, .float64].contains(layer.weightType) ? nil : "its weights are \(layer.weightType)"
    }

    /// Weight tensors of the targets, each once. Left out, with a note: those that other layers read too, since the file
    /// would hold both forms, and those that are not finite.
    func jobs(_ context: RewriteContext) -> [WeightJob] {
        let nodes = Set(targets.map(\.layer.reader))
        var jobs: [WeightJob] = []
        var known = Set<WeightReaders.Place>()
        for target in targets {
            for name in target.layer.weightNames {
                guard let place = model.place(of: name, readBy: target.layer), known.insert(place).inserted,
                    let tensor = model.graph[place.owner]?.initializers[place.name], tensor.elementType.isFloatingPoint
                else { continue }
                guard otherReaders.areLayers(of: place, among: nodes) else {
                    context.notes.add("\(target.layer.id): its weights are read elsewhere too; left as they are")
                    continue
                }
                guard tensor.withFloats({ $0.allSatisfy(\.isFinite) }) == true else {
                    context.notes.add("\(target.layer.id): has weights that are not finite; left as they are")
                    continue
                }
                jobs.append(WeightJob(place: place, tensor: tensor, layer: target.layer, parameters: target.parameters))
            }
        }
        return jobs
    }

    /// Adds the nodes and initializers of one weight and lets its readers read their value.
    /// - Parameter emit: adds them at the front of the weight's graph and returns the value's name.
    mutating func replace(_ job: WeightJob, emit: (inout GraphEditor, _ path: GraphPath) throws -> String) rethrows {
        let value = try emit(&editor, job.place.owner)
        for target in targets {
            for name in target.layer.weightNames where model.place(of: name, readBy: target.layer) == job.place {
                editor.edit(target.layer.nodeIndex, at: target.layer.path) { $0.replaceInput(name, by: value) }
                otherReaders.replace(job.place, readBy: target.layer, with: value)
            }
        }
    }

    /// The model with all weights replaced, for whoever reads them.
    mutating func finish() -> Model {
        _ = otherReaders.redirect(&editor)
        return editor.finish()
    }
}

extension GraphEditor {
    /// Adds an operator at the front of a graph and returns its output.
    mutating func front(_ type: String, _ inputs: [String], at path: GraphPath, _ attributes: [Attribute] = []) -> String {
        let output = scratch()
        addFront(.op(type, inputs, output, attributes), at: path)
        return output
    }

    /// A value in another type, if it is not float32 already.
    mutating func frontCast(_ value: String, from: ElementType = .float32, to type: ElementType, at path: GraphPath) -> String {
        guard type != from else { return value }
        let output = scratch()
        addFront(.cast(value, output, to: type), at: path)
        return output
    }

    /// A value in a shape. The last step of every computed weight: it tells the weight's shape (`ComputedWeight`).
    mutating func frontReshape(_ value: String, _ dims: [Int], at path: GraphPath) -> String {
        front("Reshape", [value, constant(Tensor(name: "", int64s: dims.map(Int64.init), dims: [dims.count]), at: path)], at: path)
    }

    /// One whole number as a constant that all nodes share.
    mutating func number(_ value: Int64, at path: GraphPath) -> String { constant(Tensor(name: "", int64s: [value], dims: []), at: path) }

    /// One real number as a constant that all nodes share.
    mutating func number(_ value: Float, like type: ElementType = .float32, at path: GraphPath) -> String {
        let plain = Tensor(name: "", floats: [value], dims: [])
        switch type {
        case .float16: return constant(Tensor(name: "", float16s: [Float16(value)], dims: []), at: path)
        case .float64: return constant((try? plain.replacing(elementType: .float64, dims: [], storage: TensorStorage(copying: [Double(value)]))) ?? plain, at: path)
        default: return constant(plain, at: path)
        }
    }
}
