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

    /// - Throws: `EngineError` if the state is of another training.
    func restore(_ state: State) throws {
        guard state.weights.count == trained.count, state.states.count == states.count, state.masks.count == pruning?.state.count ?? 0,
            zip(state.weights, trained).allSatisfy({ $0.count == $1.start.count })
        else { throw EngineError(.data, "the checkpoint belongs to another training") }
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
