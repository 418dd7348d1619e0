/// A weight stored as indices into a codebook: `Gather(codebook, Cast(indices))`, the one form of shared weights that
/// stock runtimes read and that makes the file smaller.
public struct CodebookWeight: Sendable {
    /// Initializer with one small unsigned integer per weight, of the weight's shape.
    public var indices: String
    /// Initializer with the values, one-dimensional.
    public var codebook: String
    /// The weight itself, made by the Gather.
    public var value: String
}

extension Graph {
    /// Recognizes a value as a weight looked up in a codebook. `producer` finds the node that makes a value.
    public func codebookWeight(_ value: String, producer: (String) -> Int?) -> CodebookWeight? {
        guard let gatherIndex = producer(value) else { return nil }
        let gather = nodes[gatherIndex]
        guard gather.isStandard("Gather"), gather.int("axis") ?? 0 == 0, let codebook = gather.input(0), let cast = gather.input(1),
            let values = initializers[codebook], values.dims.count == 1, values.elementType.isFloatingPoint, values.count <= 256,
            let castIndex = producer(cast), nodes[castIndex].isStandard("Cast"), let indices = nodes[castIndex].input(0),
            initializers[indices]?.elementType == .uint8
        else { return nil }
        return CodebookWeight(indices: indices, codebook: codebook, value: value)
    }

    /// Every weight of this graph looked up in a codebook.
    public var codebookWeights: [CodebookWeight] {
        var producers: [String: Int] = [:]
        for (index, node) in nodes.enumerated() where node.isStandard("Gather") || node.isStandard("Cast") {
            for output in node.outputs { producers[output] = index }
        }
        return nodes.compactMap { node in
            guard node.isStandard("Gather"), let output = node.outputs.first else { return nil }
            return codebookWeight(output) { producers[$0] }
        }
    }
}
