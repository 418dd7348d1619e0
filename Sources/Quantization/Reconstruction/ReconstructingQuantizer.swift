import ModelGraph
import Techniques

/// What GPTQ and AdaRound have in common: weights of layers fitted to the layers' inputs over calibration data, in all forms of storage.
package enum ReconstructingQuantizer {
    static let bits = ParameterDescriptor(
        "bits", title: "Bits", domain: .integer(2...8, step: 1), default: .integer(4), unit: "bits", help: "Width of a weight.")

    static let samples = ParameterDescriptor(
        "samples", title: "Samples", domain: .integer(1...4096, step: 32), default: .integer(256), help: "Calibration samples at most.")

    static let damping = ParameterDescriptor(
        "damping", title: "Damping", domain: .real(0.0001...1, step: 0.005), default: .real(0.01),
        help: "Added to the diagonal of the inputs' Gram matrix, as a share of its mean: more trusts the calibration data less.")

    static func rewritten(
        _ model: Model, targets: [LayerTarget], context: RewriteContext, method: (ParameterValues) -> Reconstruction.Method
    ) throws -> Model {
        // Statistics are gathered once for all layers.
        let limit = targets.map { $0.parameters.integer("samples") }.max() ?? 1
        var gathering = context
        gathering.progress = { fraction, what in context.progress(fraction * 0.5, what) }
        let inputs = try ReconstructionInputs.gather(of: model, layers: targets.map(\.layer), limit: limit, context: gathering)
        // Then the Gram matrix says nothing about most directions, and damping decides.
        let few = targets.compactMap { target in inputs[target.layer.id].map { (target.layer.id, $0.inputs.rows, $0.inputs.shape.columns) } }.filter { $0.1 < $0.2 }
        if let worst = few.min(by: { $0.1 * $1.2 < $1.1 * $0.2 }) {
            context.notes.add(
                "\(few.count) layers saw fewer rows of inputs than they have inputs (\(worst.0): \(worst.1) for \(worst.2)): with more calibration samples they round better, with so few plain rounding may be as good"
            )
        }
        var rounding = context
        rounding.progress = { fraction, what in context.progress(0.5 + fraction * 0.5, what) }
        return try WeightStorageWriter.rewritten(model, targets: targets, context: rounding) { target in
            var request = WeightParameters.request(target.parameters)
            if let known = inputs[target.layer.id] {
                request.rounding = .reconstruction(
                    Reconstruction(
                        inputs: known.inputs, content: known.content, method: method(target.parameters),
                        damping: target.parameters.real("damping"), cancellation: context.cancellation))
            } else {
                context.notes.add("\(target.layer.id): calibration did not reach its inputs; rounded to nearest")
            }
            return request
        }
    }
}
