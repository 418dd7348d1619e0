import EngineSupport
import Metrics
import ModelGraph

extension DatasetAssembly {
    /// Lines of token ids: every input of the model from its key, masks and positions made where lines have none.
    mutating func tokens(file path: String) throws -> any SampleSource {
        let file = try TokenFile(path: path)
        let wanted = try declaration.input == nil ? inputs : [onlyInput(path)]
        let columns = try TokenColumns(file: file, inputs: wanted, preprocessing: declaration.preprocessing.tokens)
        let identity = try InputFile.identity(of: path)
        let made = try wanted.map { input in
            let array = try columns.array(for: input)
            let preparation = try ArrayPreparation(
                type: array.type, rowShape: array.rowShape, input: input, preprocessing: Preprocessing(), place: "\(path): '\(input.name.shortened)'")
            return ArraySource.Column(preparation: preparation, array: Lazily { array }, file: identity)
        }
        let languageModel: [MetricKind] = [.tokenAccuracy, .crossEntropy, .perplexity]
        let isLanguageModel = declaration.metric.map { languageModel.contains($0) } ?? false
        let targets = try columns.targets(rules: rules, isLanguageModel: isLanguageModel).map { try named($0, count: file.rows.count, place: path) }
        return try arrays(made, rowCount: file.rows.count, targets: targets, place: path)
    }
}
