import Datasets
import EngineSupport
import ModelGraph
import OnnxRuntime
import Recipes

extension OpenRequest {
    /// Every file that opening the request reads. What cannot be read is left out: opening it says why.
    public var filesRead: FilesRead {
        var files = FilesRead()
        files.add(model: modelPath, "the model")
        for path in (dataPath.flatMap { try? DatasetLoader.files(of: $0) }) ?? [] { files.add(path, path == dataPath ? "the data set" : "a file of the data set") }
        files.add(dataPath, "the data set")
        if let recipePath, !recipePath.hasPrefix(RecipePreset.prefix) { files.add(recipePath, "the recipe") }
        if let teacherPath { files.add(model: teacherPath, "the teacher") }
        for path in RuntimeLibrary.files(path: runtimePath) { files.add(path, "ONNX Runtime's library") }
        return files
    }
}

extension FilesRead {
    /// A model and its external data.
    public mutating func add(model path: String, _ what: String) {
        add(path, "\(what) itself")
        for file in ((try? Model.files(path: path)) ?? []).dropFirst() { add(file, "the weights of \(what)") }
    }
}
