import CompressionEngine
import Measurement
import Recipes
import Techniques

/// Figures of a model as part of a document: every measure that can be read off them, under its key. Sizes in bytes, energy in picojoules of one inference.
struct FiguresDocument: Encodable {
    /// Of a model with early exits: where samples leave, exit by exit and, last, at the end of the network. MACs and energy are then means over samples.
    struct Exit: Encodable {
        /// Share of the samples that leave here.
        var share: Double
        /// The metric over those.
        var value: Double?
    }

    private let figures: ModelFigures
    let exits: [Exit]?

    init(_ figures: ModelFigures) {
        self.figures = figures
        exits = figures.live.map { live in zip(live.shares, live.values).map { Exit(share: $0, value: $1) } }
    }

    var layers: [LayerFigures] { figures.layers }

    /// A measure's value; `nil` where it is not known.
    subscript(measure: Measure) -> Double? { measure.figure(in: figures)?.value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: DocumentKey.self)
        var groups: [String: [String: DocumentNumber]] = [:]
        for measure in Measure.all where measure.isOfFigures {
            guard let value = self[measure] else { continue }
            let number = DocumentNumber(value, of: measure)
            if measure.documentKey.count > 1 {
                groups[measure.documentKey[0], default: [:]][measure.documentKey[1]] = number
            } else {
                try container.encode(number, forKey: DocumentKey(measure.documentKey[0]))
            }
        }
        for (name, group) in groups { try container.encode(group, forKey: DocumentKey(name)) }
        try container.encodeIfPresent(exits, forKey: DocumentKey("exits"))
    }
}

/// A key that is known at run time only.
struct DocumentKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { nil }
}

/// A measure's value in a document: a whole number for what is counted in bytes and pieces.
struct DocumentNumber: Encodable {
    let value: Double
    let isWhole: Bool

    init(_ value: Double, of measure: Measure) {
        self.value = value
        isWhole = measure.format == .bytes || measure.format == .count
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if isWhole, let whole = value.whole { try container.encode(whole) } else { try container.encode(value) }
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

        /// Layers left alone, those of one reason together; of many the first three by name.
        var refusalsByReason: [(layers: String, reason: String)] {
            var groups: [(reason: String, layers: [String])] = []
            for refusal in refused ?? [] {
                if let place = groups.firstIndex(where: { $0.reason == refusal.reason }) {
                    groups[place].layers.append(refusal.layer)
                } else {
                    groups.append((refusal.reason, [refusal.layer]))
                }
            }
            return groups.map { reason, layers in
                let names = layers.prefix(layers.count > 4 ? 3 : 4).map(\.onOneLine).joined(separator: ", ")
                return (names + (layers.count > 4 ? " and \(layers.count - 3) more" : ""), reason.onOneLine)
            }
        }
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
