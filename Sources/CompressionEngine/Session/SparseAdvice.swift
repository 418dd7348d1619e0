import ModelGraph
import Recipes
import Techniques

/// Says that a file stores zeros which it could leave out.
public enum SparseAdvice {
    /// A line for the user; `nil` where less than a twentieth of the file would be gained.
    /// - Parameter fileBytes: size of the model's file.
    public static func line(_ model: Model, fileBytes: Int) -> String? {
        guard TechniqueRegistry.technique("sparse-storage") != nil, fileBytes > 0 else { return nil }
        let saved = model.bytesOfZeros()
        guard saved * 20 >= fileBytes else { return nil }
        return "Zeros take \(saved * 100 / fileBytes) % of the ONNX file: the step sparse-storage leaves them out, to about \(fileBytes - saved) bytes."
    }
}
