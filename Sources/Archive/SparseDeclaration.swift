import Foundation
import ModelGraph

/// Which weights the ONNX file stores without their zeros. The archive holds such weights dense, where zeros cost nothing and values are coded together with
/// their distances, and says so in the model's metadata under `lathe.sparse`; unpacking stores them sparsely again.
enum SparseDeclaration {
    static let metadataKey = "lathe.sparse"
    /// Larger files are packed as they are: making sure takes them into memory several times.
    private static let limit = 1 << 29

    /// The model as the archive holds it, and the size of its ONNX file.
    ///
    /// Where that would not give the very file back, as with indices that another program wrote in its own way, the file itself is packed.
    static func dense(_ model: Model) throws -> (model: Model, serialized: SerializedModel, fileBytes: Int) {
        let file = try model.serialized()
        guard model.isStoredSparsely, file.byteCount < limit, let declared = declared(model) else { return (model, file, file.byteCount) }
        let dense = try declared.serialized()
        guard dense.byteCount < limit else { return (model, file, file.byteCount) }
        let bytes = TensorStorage(copying: dense.joined())
        let given = try restored(try Model.read(bytes: bytes.bytes, owner: bytes, directory: nil))?.serialized().joined()
        return given == file.joined() ? (declared, dense, file.byteCount) : (model, file, file.byteCount)
    }

    /// The model stored dense, with the forms in its metadata; `nil` if they cannot be written down.
    private static func declared(_ model: Model) -> Model? {
        var dense = model
        var forms: [[String: String]] = []
        for path in model.graph.graphPaths() {
            guard var graph = dense.graph[path] else { return nil }
            forms.append(graph.sparseForms.filter { graph.initializers[$0.key] != nil }.mapValues(\.rawValue))
            graph.sparseForms = [:]
            dense.graph[path] = graph
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let text = try? encoder.encode(forms) else { return nil }
        dense.metadata[metadataKey] = String(decoding: text, as: UTF8.self)
        return dense
    }

    /// The model with the weights that its metadata name stored sparsely; `nil` where they name none. What does not fit the model is left out.
    static func restored(_ model: Model) -> Model? {
        guard let text = model.metadata[metadataKey], let forms = try? JSONDecoder().decode([[String: String]].self, from: Data(text.utf8)) else { return nil }
        var result = model
        result.metadata[metadataKey] = nil
        for (path, named) in zip(model.graph.graphPaths(), forms) {
            guard var graph = result.graph[path] else { continue }
            graph.sparseForms = named.compactMapValues { SparseForm(rawValue: $0) }.filter { graph.canBeSparse($0.key) }
            result.graph[path] = graph
        }
        return result
    }
}
