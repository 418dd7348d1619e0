import Techniques

/// What a newcomer asks first of a technique: what it needs.
public enum TechniqueGroup: String, CaseIterable, Sendable {
    case presets
    case withoutData = "without-data"
    case withCalibration = "with-calibration"
    case trains

    static let ofTechniques: [TechniqueGroup] = [.withoutData, .withCalibration, .trains]

    init(of descriptor: TechniqueDescriptor) {
        if descriptor.produces.contains(.training) {
            self = .trains
        } else {
            self = descriptor.needsCalibration ? .withCalibration : .withoutData
        }
    }

    public var title: String {
        switch self {
        case .presets: "Ready-made recipes"
        case .withoutData: "Without data"
        case .withCalibration: "With calibration data"
        case .trains: "Trains"
        }
    }

    public var explanation: String {
        switch self {
        case .presets: "Whole recipes to begin with: Space takes one."
        case .withoutData: "They look at the weights alone and take seconds at most."
        case .withCalibration: "They run some samples first, to see what matters or how large values get."
        case .trains: "They train on labeled samples, which takes minutes: R starts it."
        }
    }
}
