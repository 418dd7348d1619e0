import EngineSupport
import ModelGraph
import OnnxRuntime

// Everything that changes from step to step, out of a training and back into it.
extension TrainingStep {
    /// Everything that changes from step to step.
    struct State: Sendable {
        var weights: [[Float]]
        var states: [[Float]]
        var statistics: [String: [Float]]
        /// Masks and scores of weights that are pruned meanwhile.
        var masks: [[Float]] = []
    }

    func state() throws -> State {
        State(weights: try weights.map { try $0.floats() }, states: try states.map { try $0.floats() }, statistics: statistics, masks: pruning?.state ?? [])
    }

    /// Whether a state is one of this training: as many numbers, of the same things.
    func fits(_ state: State) -> Bool {
        let each = optimizerStateCount
        return state.weights.map(\.count) == trained.map(\.start.count) && state.states.map(\.count) == trained.flatMap { Array(repeating: $0.start.count, count: each) }
            && state.statistics.mapValues(\.count) == statistics.mapValues(\.count) && state.masks.map(\.count) == (pruning?.state ?? []).map(\.count)
    }

    /// - Parameter state: one that fits.
    func restore(_ state: State) throws {
        for (values, place) in zip(state.weights + state.states, weights + states) { try place.store(values) }
        statistics = state.statistics
        pruning?.state = state.masks
        try showMasks()
    }

    /// The model with the weights of a state.
    func model(_ state: State) throws -> Model {
        let values = Dictionary(uniqueKeysWithValues: zip(trained.map(\.name), state.weights))
        return try trainable.model(with: trainable.parameters.map { values[$0.name] ?? $0.start }, statistics: state.statistics)
    }
}

extension Value {
    /// Overwrites a tensor of as many floats.
    func store(_ floats: [Float]) throws {
        try withUnsafeMutableBytes { bytes in floats.withUnsafeBytes { bytes.copyMemory(from: $0) } }
    }
}
