import Foundation

/// The folder that a model's external data must lie in.
///
/// The specification confines it to the model's own folder, links followed: a model from anywhere must not take in, and pass on, what else its user can
/// read. Where the model is reached by a link, the folder that it really lies in counts as well, as for ONNX Runtime: caches of downloads are made of such links.
struct ExternalData {
    private let folder: String
    /// Folders without links in them.
    private let allowed: [String]

    /// - Parameters:
    ///   - folder: where locations begin; empty for the working folder.
    ///   - model: the model's own file, if it is one.
    init(folder: String, model: String? = nil) {
        self.folder = folder
        allowed = [RealPath.of(folder.isEmpty ? "." : folder), model.flatMap(RealPath.of)?.folder].compactMap(\.self)
    }

    /// - Throws: `ModelGraphError` if the location leads out of the folder, or to nothing that can be read.
    func file(_ location: String, tensor: String) throws(ModelGraphError) -> MappedFile {
        let path = folder.isEmpty || location.hasPrefix("/") ? location : "\(folder)/\(location)"
        let resolved = RealPath.of(path)
        let isInside = resolved.map { target in allowed.contains { target.hasPrefix($0 == "/" ? "/" : $0 + "/") } } ?? true
        guard isInside, !location.hasPrefix("/"), !location.split(separator: "/").contains("..") else {
            throw ModelGraphError(.damaged, "tensor '\(tensor.shortened)': external data '\(location.shortened)' is outside the model's folder")
        }
        do {
            return try MappedFile(path: path, resolved: resolved)
        } catch {
            throw ModelGraphError(.file, "external data of tensor '\(tensor.shortened)': \(error.message)")
        }
    }
}
