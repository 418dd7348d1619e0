import CompressionEngine
import Measurement
import Recipes
import Techniques

/// Figures of a model as part of a document. Sizes in bytes, energy in picojoules of one inference.
struct FiguresDocument: Encodable {
    struct Sizes: Encodable {
        /// Bits of the encodings the techniques stand for.
        var theoretical: Int?
        /// The ONNX file.
        var serialized: Int
        /// The ONNX file after gzip.
        var transfer: Int?
        /// The packed archive.
        var packed: Int?
    }

    var parameters: Int?
    var nonZeros: Int?
    var sparsity: Double
    var macs: Int?
    var flops: Int?
    var sizes: Sizes
    var peakActivationBytes: Int?
    var memoryBytes: Int?
    /// Modeled, never measured.
    var energyPicojoulesModeled: Double?
    /// Of a model with early exits: where samples leave, exit by exit and, last, at the end of the network. MACs and energy are then means over samples.
    var exits: [Exit]?

    struct Exit: Encodable {
        /// Share of the samples that leave here.
        var share: Double
        /// The metric over those.
        var value: Double?
    }

    init(_ figures: ModelFigures) {
        parameters = figures.parameters.value.whole
        nonZeros = figures.nonZeros.value.whole
        sparsity = figures.parameters.value > 0 ? 1 - figures.nonZeros.value / figures.parameters.value : 0
        macs = figures.macs?.value.whole
        flops = macs.map { 2 * $0 }
        sizes = Sizes(
            theoretical: figures.theoreticalBytes?.value.whole, serialized: figures.serializedBytes.value.whole ?? 0,
            transfer: figures.transferBytes?.value.whole, packed: figures.packedBytes?.value.whole)
        peakActivationBytes = figures.peakActivationBytes?.value.whole
        memoryBytes = figures.memoryBytes?.value.whole
        energyPicojoulesModeled = figures.energyPicojoules?.value
        exits = figures.exits.map { exits in zip(exits.shares, exits.values).map { Exit(share: $0, value: $1) } }
    }
}

/// The recipe and what its steps did, as part of a document.
struct RecipeDocument: Encodable {
    struct Step: Encodable {
        var technique: String
        var parameters: [String: TechniqueDocument.Scalar]
        /// The layers asked for, as written behind `@` on the command line.
        var selector: String
        /// The layers rewritten, those left alone, and remarks; absent where the recipe was not applied here.
        var layers: [String]?
        var refused: [Refusal]?
        var notes: [String]?
        /// Why an optional step was passed over; absent if it was done.
        var skipped: String?
        /// What a step that learns took; absent for others.
        var training: Training?
    }

    struct Training: Encodable {
        var trainedParameters: Int
        /// Bytes of weights, gradients and optimizer states while training.
        var bytes: Int
        var steps: Int
        /// Median time of a step when it was trained.
        var stepMilliseconds: Double
        /// Passes over the samples, and the one whose weights were kept; 0 for the start.
        var epochs: Int
        var kept: Int

        init(_ summary: TrainingSummary) {
            trainedParameters = summary.trainedParameters
            bytes = summary.bytes
            steps = summary.steps
            stepMilliseconds = summary.stepMilliseconds
            epochs = max(0, summary.epochs.count - 1)
            kept = summary.kept
        }
    }

    struct Refusal: Encodable {
        var layer: String
        var reason: String
    }

    var name: String?
    var seed: UInt64
    var steps: [Step]

    /// - Parameter reports: of the active steps, where the recipe was applied.
    init(_ recipe: Recipe, reports: [StepReport]?) {
        name = recipe.name.isEmpty ? nil : recipe.name
        seed = recipe.seed
        steps = recipe.activeSteps.enumerated().map { index, step in
            var values = step.parameters
            if let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor { values = values.resolved(by: descriptor) }
            let report = reports.flatMap { $0.indices.contains(index) ? $0[index] : nil }
            return Step(
                technique: step.technique, parameters: values.explicit.mapValues { TechniqueDocument.Scalar(value: $0) },
                selector: step.layers.text, layers: report?.layers,
                refused: report?.refused.map { Refusal(layer: $0.layer, reason: $0.reason) }, notes: report?.notes, skipped: report?.skipped,
                training: report?.training.map(Training.init))
        }
    }
}

/// Which model a document is about.
struct ModelReference: Encodable {
    var path: String
    var name: String
    /// Content hash, as in recipes.
    var hash: String

    init(_ info: SessionInfo) {
        path = info.modelPath
        name = info.modelName
        hash = info.modelHash
    }
}
