import EngineSupport
import Foundation
import ModelGraph

/// A second copy of a student in the same training graph, from another start: each learns from the labels or a teacher, and from the
/// other's scores (Zhang et al., Deep Mutual Learning, CVPR 2018, equations 6 and 7).
///
/// Both take their steps at once; the paper does one after the other within a batch, or at once on several processors. The peer is there
/// for training only: what is kept is the student.
enum PeerStudent {
    /// Before every name of the peer's.
    static let prefix = "lathe.peer/"

    /// A peer's start: √(1 − s²)·w + s·σ·ε, with σ the root mean square of a tensor and ε standard normal, so that magnitudes stay. With s = 1 the weights
    /// are drawn anew; zeros that are masked stay.
    static func start(of parameter: TrainedParameter, distance: Float, _ generator: inout SeededGenerator) -> [Float] {
        var result = parameter.start
        let kept = result.indices.filter { index in parameter.mask.map { $0[index] != 0 } ?? true }
        var square = 0.0
        for index in kept { square += Double(result[index]) * Double(result[index]) }
        let deviation = Float((square / Double(max(kept.count, 1))).squareRoot())
        let own = (1 - distance * distance).squareRoot()
        for index in kept { result[index] = own * result[index] + distance * deviation * generator.normal() }
        return result
    }
}

extension TrainableModel {
    /// Puts a peer beside the student, reading the same inputs.
    /// - Parameters:
    ///   - distance: of its start from the student's, 0…1.
    ///   - fresh: names of tensors that the student drew at random itself, such as adapters': the peer draws its own.
    mutating func addPeer(distance: Float, fresh: Set<String>, seed: UInt64) {
        let inputs = Set(forward.graph.requiredInputs.map(\.name))
        let peer = forward.graph.prefixed(PeerStudent.prefix, keeping: inputs)
        forward.graph.nodes += peer.nodes
        for (name, tensor) in peer.initializers { forward.graph.initializers[name] = tensor }
        for input in peer.inputs where !inputs.contains(input.name) { forward.graph.inputs.append(input) }
        // Weights differ; biases and normalizations start alike, unless there is nothing else.
        func isWeight(_ parameter: TrainedParameter) -> Bool {
            if case .shared = parameter.form { return true }
            return parameter.dims.count >= 2
        }
        let all = !parameters.contains(where: isWeight)
        var generator = SeededGenerator(seed: seed &+ 0x6665_6C6C_6F77)
        parameters += parameters.map { parameter in
            var copy = parameter
            copy.name = PeerStudent.prefix + parameter.name
            copy.target = PeerStudent.prefix + parameter.target
            copy.isPeer = true
            copy.isPruned = false
            // A schedule prunes the student alone; what was zero before stays zero in both.
            if parameter.isPruned, parameter.mask?.contains(0) == false { copy.mask = nil }
            if parameter.minimum == nil, all || isWeight(parameter) {
                copy.start = PeerStudent.start(of: copy, distance: fresh.contains(parameter.target) ? 1 : distance, &generator)
            }
            return copy
        }
    }
}
