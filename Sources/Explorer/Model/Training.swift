import Measurement
import Recipes
import Techniques
import TerminalCells
import Training

/// What is known of the training of one recipe.
public struct Training: Sendable {
    public var progress: TrainingProgress?
    public var job: Int?
    /// Asked for while the evaluation was still running; starts when that ends.
    public var isQueued = false
    /// What a short training recovered, on part of the validation split.
    public var preview: (accuracy: AccuracyEstimate, steps: Int)?

    public init() {}
}

extension ExplorerModel {
    /// Steps of a recovery preview.
    static let previewSteps = 150

    /// The training of the present recipe.
    public var training: Training? { tasks.trainings[recipe.canonical] }

    /// Whether the numbers shown are those before a training that has not been run.
    public var isUntrained: Bool { result?.reports.contains(where: \.isUntrained) ?? false }

    /// Epochs of the present recipe's last training, running or remembered.
    public var trainedEpochs: [TrainingEpoch] {
        if let epochs = training?.progress?.epochs, !epochs.isEmpty { return epochs }
        return result?.reports.last { $0.training != nil }?.training?.epochs ?? []
    }

    /// What the present recipe's last training took: parameters changed, of how many, memory and time.
    var trainingCost: String? {
        guard let summary = result?.reports.last(where: { $0.training != nil })?.training else { return nil }
        var text = "\(Grouping.text(summary.trainedParameters)) parameters"
        if let all = figuresNow?.parameters.value, all > 0 { text += " (\(NumberFormat.fixed(100 * Double(summary.trainedParameters) / all, digits: 1)) %)" }
        return text + ", \(NumberFormat.bytes.text(Double(summary.bytes))), \(NumberFormat.fixed(summary.seconds, digits: 1)) s"
    }

    /// The key of an action in the focused pane, for texts.
    func keyLabel(_ action: Action, _ tier: GlyphTier) -> String {
        keyMap.binding(of: action, in: pane).flatMap { keyMap.reachableKeys(of: $0, in: pane).first }.map { KeyBinding.label($0, tier: tier) } ?? ":"
    }
}
