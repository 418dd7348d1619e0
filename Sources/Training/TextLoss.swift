import Datasets
import Differentiation
import EngineSupport
import Measurement
import Metrics
import ModelGraph

/// How texts become sequences of classes for a model that is read off by CTC.
struct Spelling: Sendable {
    /// Classes by what they stand for.
    private let classes: [String: Int]
    private let longest: Int
    private let blank: Int
    /// Of the longest text.
    let states: Int
    /// That the model gives.
    private let steps: Int

    /// - Parameter count: classes that the output tells apart; an alphabet with fewer entries leaves the blank out.
    init(_ options: MetricOptions, alphabet: [String], count: Int, steps: Int, texts: [String]) {
        let blank = options.blank ?? 0
        var classes: [String: Int] = [:]
        for (index, character) in alphabet.enumerated() where !character.isEmpty {
            let place = alphabet.count < count && index >= blank ? index + 1 : index
            if place != blank, place < count, classes[character] == nil { classes[character] = place }
        }
        (self.classes, self.blank, self.steps) = (classes, blank, steps)
        let width = classes.keys.map(\.count).max() ?? 1
        longest = width
        states = 2 * (texts.map { Self.spell($0, classes, width).count }.max() ?? 0) + 1
    }

    /// Targets of a text. What the model has no class for is left out: it cannot be learned.
    /// - Throws: `EngineError` if the text takes more steps than there are.
    func targets(_ text: String, sample: Int) throws -> [Int64] {
        let targets = SequenceTargets(Self.spell(text, classes, longest), blank: blank, states: states)
        guard targets.steps <= steps else {
            throw EngineError(.data, "row \(sample): its text takes at least \(targets.steps) steps, the model gives \(steps): leave it out of the training split")
        }
        return targets.rows
    }

    /// The longest entry of the alphabet at each place.
    private static func spell(_ text: String, _ classes: [String: Int], _ longest: Int) -> [Int] {
        var found: [Int] = []
        var rest = text[...]
        while !rest.isEmpty {
            let length = stride(from: min(longest, rest.count), to: 0, by: -1).first { classes[String(rest.prefix($0))] != nil }
            if let length, let place = classes[String(rest.prefix(length))] { found.append(place) }
            rest = rest.dropFirst(length ?? 1)
        }
        return found
    }
}

/// What texts and outputs come to together, where they are read off by CTC.
struct TextLoss {
    /// Scores [shard, steps, classes].
    let value: String
    let spelling: Spelling

    /// - Returns: `nil` for other labels, other ways to read, and outputs that hold no scores of classes for each step.
    init?(_ samples: SampleSet, shard: Int, forward: inout Model, shapes: inout [String: [Int]]) throws {
        let options = samples.options
        guard samples.prepared.targets?.kind == .text, options.decoding != .argmax, options.transforms.isEmpty, let alphabet = options.alphabet, samples.count > 0 else {
            return nil
        }
        let output = try options.outputs.first ?? AccuracyEvaluation.scoredOutput(of: forward).name
        let scores = TrainingObjective.scores(behind: output, of: forward)
        guard let dims = shapes[scores], dims.count == 3, let classes = dims.last, classes > 1 else { return nil }
        // Some exporters have the steps in front.
        let declared = forward.graph.outputs.first { $0.name == output }.flatMap { BatchedOutput.declaredAxis(of: $0, in: forward) }
        let batch = declared ?? (dims[0] == shard ? 0 : 1)
        guard batch < 2, dims[batch] == shard else { return nil }
        if batch == 0 {
            value = scores
        } else {
            value = "\(scores).samples.first"
            forward.graph.nodes.append(Node("Transpose", inputs: [scores], outputs: [value], attributes: [Attribute("perm", .integers([1, 0, 2]))]))
            shapes[value] = [dims[1], dims[0], classes]
        }
        let texts = try (0..<samples.count).compactMap { sample -> String? in
            if case .text(let text) = try samples.prepared.target(sample) { text } else { nil }
        }
        spelling = Spelling(options, alphabet: alphabet, count: classes, steps: dims[1 - batch], texts: texts)
    }
}
