/// How the file leaves out what most elements of an initializer have in common, which for pruned weights are zeros.
///
/// In memory the initializer is dense, so that every technique, reader and measurement sees a weight like any other; ONNX Runtime
/// comes to the same dense tensor while it loads the file. Reading recognizes the forms and writing puts them back, as with `Constant`
/// nodes.
public enum SparseForm: String, Sendable, CaseIterable {
    /// Whatever is smallest; dense where nothing is smaller.
    case smallest
    /// Distances between the elements that are left, summed up and scattered by plain operators of operator set 11. Dense where
    /// that is smaller.
    case gaps
    /// ONNX's `sparse_initializer`: the elements that are left with their positions, 64 bits each.
    case indices
}

extension Graph {
    /// Whether an initializer may leave its zeros out: a constant of a type that ONNX Runtime scatters.
    public func canBeSparse(_ name: String) -> Bool {
        guard let tensor = initializers[name] else { return false }
        return SparseElements.isSupported(tensor) && !inputs.contains { $0.name == name }
    }

    /// Bytes that an initializer takes in the file, by name, of those that are stored sparsely; the nodes that decode them apart.
    /// - Parameter opset: version of the standard operator set.
    public func sparseByteCounts(opset: Int) -> [String: Int] {
        guard !sparseForms.isEmpty else { return [:] }
        var counts: [String: Int] = [:]
        for unit in SparsePlan(self, opset: opset).units {
            for (name, bytes) in unit.shares { counts[name] = bytes }
        }
        return counts
    }
}

extension Model {
    /// Whether anything is stored sparsely, in any graph.
    public var isStoredSparsely: Bool { graph.graphPaths().contains { !(graph[$0]?.sparseForms.isEmpty ?? true) } }

    /// Bytes of the file that zeros of weights take and need not: about what it would be smaller by if it left them out.
    public func bytesOfZeros() -> Int {
        var saved = 0
        for path in graph.graphPaths() {
            guard var graph = graph[path] else { continue }
            var dense: [String: Int] = [:]
            for (name, tensor) in graph.initializers
            where tensor.dims.count > 1 && tensor.count >= 1 << 10 && graph.sparseForms[name] == nil && graph.canBeSparse(name) && tensor.isMostlyZero {
                dense[name] = tensor.storage.byteCount
            }
            graph.sparseForms = dense.mapValues { _ in .smallest }
            for (name, bytes) in graph.sparseByteCounts(opset: opset) { saved += max((dense[name] ?? bytes) - bytes, 0) }
        }
        return saved
    }

    /// The model as its file has it: zeros left out.
    func restoringSparseForms() throws(ModelGraphError) -> Model {
        guard isStoredSparsely else { return self }
        var model = self
        var names = NameSupply(graph)
        try model.graph.restoreSparseForms(opset: opset, &names)
        return model
    }
}

extension Tensor {
    /// Whether at least a quarter of the elements are zero.
    fileprivate var isMostlyZero: Bool {
        let width = (elementType.bitWidth ?? 8) / 8
        var zeros = 0
        var position = 0
        let bytes = storage.bytes
        while position + width <= bytes.count {
            let end = min(position + TensorStorage.passSlice / width * width, bytes.count)
            while position + width <= end {
                switch width {
                case 2: zeros += bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self) == 0 ? 1 : 0
                case 4: zeros += bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self) == 0 ? 1 : 0
                case 8: zeros += bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self) == 0 ? 1 : 0
                default: zeros += bytes[position] == 0 ? 1 : 0
                }
                position += width
            }
            storage.releasePages(before: position)
        }
        return zeros * 4 >= count
    }
}
