import ModelGraph

extension Graph {
    /// What outputs that are tables from class names to numbers (ZipMap) are made of: one number for each class, as a tensor.
    var classTables: [ValueInfo] {
        let names = Set(outputs.map(\.name))
        return nodes.compactMap { node in
            guard node.opType == "ZipMap", node.domain == "ai.onnx.ml", node.outputs.contains(where: names.contains), let source = node.input(0) else { return nil }
            return valueInfos[source] ?? ValueInfo(name: source, elementType: .float32, shape: nil)
        }
    }
}
