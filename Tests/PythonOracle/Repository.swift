import Foundation

/// Where the files of the project lie.
package enum Repository {
    package static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
}

/// The models and data that come with the project.
package enum Samples {
    package static let models = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
    /// Fashion-MNIST, all splits.
    package static let data = Repository.root + "/SampleModels/data/fashion-mnist.yaml"

    package static func path(_ model: String) -> String { Repository.root + "/SampleModels/\(model).onnx" }

    /// The sample data, its validation split cut to the first images. What learns does so on a few of the held-out images: here it is
    /// not to get good, but to come out the same everywhere.
    package static func data(images: Int, in folder: TemporaryFolder) throws -> String {
        let samples = Repository.root + "/SampleModels/data"
        let text = try String(contentsOfFile: data, encoding: .utf8)
            .replacingOccurrences(of: ": fashion-mnist/", with: ": \(samples)/fashion-mnist/")
            .replacingOccurrences(of: "range: [0, 10000]", with: "range: [0, \(images)]")
            .replacingOccurrences(of: "/usr/share/datasets/fashion-mnist/train-images", with: "\(samples)/fashion-mnist/heldout-images")
            .replacingOccurrences(of: "/usr/share/datasets/fashion-mnist/train-labels", with: "\(samples)/fashion-mnist/heldout-labels")
            .replacingOccurrences(of: "range: [0, 55000]", with: "range: [4700, 5000]")
            .replacingOccurrences(of: "range: [1000, 5000]", with: "range: [1000, 4700]")
        return try folder.write("data.yaml", text)
    }
}
