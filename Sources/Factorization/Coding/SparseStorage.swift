import ModelGraph
import Techniques

/// Leaves the zeros of pruned weights out of the ONNX file. Changes no number.
public struct SparseStorage: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "sparse-storage", title: "Sparse storage", family: .coding,
        summary: "Leaves zeros out of the ONNX file: a pruned model's file shrinks, and stock ONNX Runtime runs it",
        details: """
            A pruned model's file is as large as before, since a dense tensor holds zeros like any other number. This step stores what is left and the \
            distances between it, in 2 to 8 bits each; plain operators of operator set 11 (CumSum, ScatterElements) put the dense tensor together again, \
            which ONNX Runtime does once, while it loads the file. Outputs are the same to the bit, memory and speed are as before. Weights of few \
            different values (weight-sharing, quantization) get codes of 1 to 8 bits and a codebook beside the distances; integers are treated \
            alike, packed ones included. With form indices, zeros leave by ONNX's sparse_initializer: 64 bits for each element that is left, so that it \
            pays above two thirds of zeros only, but loading takes no more time.

            Each weight takes the form that is smallest, and stays dense where none is smaller. At 70, 90 and 95 % zeros the weights of a float32 \
            file take about 0.38, 0.13 and 0.07 of their room; less with shared values or fewer bits. Loading takes half a millisecond to a few \
            milliseconds more. Put it behind pruning and whatever else changes weights; the packed archive (`lathe pack`) is not smaller for it. What \
            lathe reads it sees as the dense weights they are, whoever wrote them so. OpenVINO 2026.4 and tract 0.23 run distances with the same \
            outputs as the dense file; neither reads sparse_initializer.
            """,
        source: """
            Han, Mao and Dally, Deep Compression, ICLR 2016, section 2 (relative indices); ONNX, SparseTensorProto, CumSum and ScatterElements
            """,
        parameters: [
            ParameterDescriptor(
                "form", title: "Form",
                domain: .choice([
                    .init("auto", "the smallest for each weight"), .init("gaps", "distances, decoded by plain operators while loading"),
                    .init("indices", "ONNX's sparse_initializer: 64-bit positions"),
                ]), default: .choice("auto"), help: "How the file leaves zeros out")
        ],
        requires: [], produces: [.storage], widens: false)

    public func refusal(for layer: Layer, in model: Model) -> String? {
        guard let place = model.place(of: layer.weight, readBy: layer), model.irVersion >= 4 else { return nil }
        return model.graph[place.owner]?.inputs.contains { $0.name == place.name } == true ? "callers may put other weights in its place: it is an input" : nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        // Before IR version 4 initializers are listed as inputs, which says nothing of them.
        if model.irVersion < 4 {
            model.irVersion = 4
            model.graph.inputs = model.graph.requiredInputs
        }
        var forms: [GraphPath: [String: SparseForm]] = [:]
        for target in targets {
            let form: SparseForm =
                switch target.parameters.choice("form") {
                case "gaps": .gaps
                case "indices": .indices
                default: .smallest
                }
            for name in target.layer.weightNames {
                guard let place = model.place(of: name, readBy: target.layer) else { continue }
                forms[place.owner, default: [:]][name] = forms[place.owner]?[name] ?? form
            }
        }
        var (before, after, left, sparse) = (0, 0, 0, 0)
        // Inner graphs first: the path to a graph names nodes of those around it, which a change may move.
        for (path, wanted) in forms.sorted(by: { $0.key.steps.count > $1.key.steps.count }) {
            try context.cancellation.check()
            guard let graph = model.graph[path] else { continue }
            let result = Self.stored(graph, wanted, opset: model.opset)
            before += result.before
            after += result.after
            sparse += result.count
            left += wanted.count - result.count
            model.graph[path] = result.graph
        }
        if sparse == 0 {
            context.notes.add("no weight gets smaller without its zeros: all stay dense")
        } else {
            let rest = left > 0 ? "; \(left) would not be smaller and stay\(left == 1 ? "s" : "") dense" : ""
            context.notes.add("\(sparse) weight\(sparse == 1 ? "" : "s") without zeros: \(before) bytes become \(after)\(rest)")
        }
        if model.opset < 11, sparse + left > 0 {
            context.notes.add("operator set \(model.opset) has no CumSum: zeros are left out by sparse_initializer")
        }
    }

    /// A graph with the weights that get smaller stored sparsely, and the bytes of these before and after.
    private static func stored(_ graph: Graph, _ wanted: [String: SparseForm], opset: Int) -> (graph: Graph, count: Int, before: Int, after: Int) {
        var (result, before, after, count) = (graph, 0, 0, 0)
        var open: [String: SparseForm] = [:]
        for (name, form) in wanted.sorted(by: { $0.key < $1.key }) {
            if form != .indices, let plain = result.withPlainCodes(ofPlane: name, form: form, opset: opset) {
                before += plain.before
                after += plain.after
                count += 1
                result = plain.graph
            } else {
                open[name] = form
            }
        }
        for (name, form) in open { result.sparseForms[name] = form }
        let shares = result.sparseByteCounts(opset: opset)
        for name in open.keys.sorted() {
            let dense = result.initializers[name]?.storage.byteCount ?? 0
            guard let share = shares[name], share < dense else {
                result.sparseForms[name] = nil
                continue
            }
            before += dense
            after += share
            count += 1
        }
        return (result, count, before, after)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        var isFirst = true
        for index in targets.keys.sorted() {
            let form: SparseForm = targets[index]?.resolved(by: descriptor).choice("form") == "indices" ? .indices : .smallest
            states[index].sparseForm = form
            guard isFirst, states[index].bitsWithoutZeros != nil else { continue }
            // What decodes is shared by all.
            states[index].overheadBits += form == .indices ? 0 : 8 * 400
            isFirst = false
        }
    }
}
