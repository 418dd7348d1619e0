import Archive
import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

extension EngineSession {
    /// Writes recipe, model, archive (if asked) and report together: all are made beside their place first, then
    /// renamed, so that an error or a cancellation leaves nothing behind.
    ///
    /// The test split is read here and nowhere else.
    /// - Returns: paths of the files, the model first.
    /// - Throws: `EngineError` if a file exists and may not be replaced, or anything on the way fails.
    @discardableResult
    public func export(
        _ recipe: Recipe, request: ExportRequest, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> [String] {
        let base = (request.folder.isEmpty ? "." : request.folder) + "/" + request.name
        var paths = [base + ".onnx", base + ".recipe.yaml", base + ".report.md"]
        if request.includeArchive { paths.append(base + ".lathe") }
        guard !request.name.isEmpty, !request.name.contains("/") else { throw EngineError(.data, "the name '\(request.name)' is no file name") }
        try FilesRead.check(paths) { opened.request.filesRead }
        for path in paths { if try OutputPlace(path) != .file { throw EngineError(.data, "\(path): is no file that could be replaced") } }
        if !request.overwrite {
            for path in paths where FileManager.default.fileExists(atPath: path) {
                throw EngineError(.data, "\(path): exists already; choose another name or allow replacing")
            }
        }
        do {
            try FileManager.default.createDirectory(atPath: request.folder.isEmpty ? "." : request.folder, withIntermediateDirectories: true)
        } catch {
            throw EngineError(.data, "\(request.folder): cannot be made: \(error.localizedDescription)")
        }
        var recipe = recipe
        recipe.modelHash = info.modelHash
        progress(0.05, "applying the recipe")
        let applied = try apply(recipe, cancellation: cancellation)
        progress(0.2, "writing the recipe")
        // The model comes last: nothing stands under its name before all else is there.
        let staged = paths.dropFirst().map { $0 + ".partial-\(getpid())" }
        defer { for path in staged { unlink(path) } }
        try AtomicFile.write(recipe.yaml, to: staged[0])
        if request.includeArchive {
            progress(0.3, "packing the archive")
            try Archive.write(applied.model, to: staged[2], cancellation: cancellation) { fraction, name in
                progress(0.3 + 0.1 * fraction, "packing \(name)")
            }
        }
        progress(0.4, "measuring")
        let report = try ExportReport.make(
            self, recipe: recipe, applied: applied, modelPath: paths[0], recipePath: paths[1], cancellation: cancellation
        ) { fraction, phase in progress(0.4 + 0.55 * fraction, phase) }
        try AtomicFile.write(report, to: staged[1])
        progress(0.95, "loading what was written")
        _ = try write(applied.model, to: paths[0], cancellation: cancellation)
        for (from, to) in zip(staged, paths.dropFirst()) {
            guard rename(from, to) == 0 else {
                throw EngineError(.data, "\(to): cannot be renamed into place: \(String(cString: strerror(errno)))")
            }
        }
        progress(1, "done")
        return paths
    }
}
