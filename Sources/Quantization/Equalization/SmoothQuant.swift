import EngineSupport
import Foundation
import ModelGraph
import Techniques

/// Moves the difficulty of quantizing activations into weights.
public struct SmoothQuant: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "smoothquant", title: "SmoothQuant", family: .quantization,
        summary: "Divides activation channels with outliers and multiplies the weights that read them. Same function, better int8.",
        details: """
            Activations often have a few channels far larger than the others, which one scale for the whole tensor must cover. Each channel j of a \
            layer's input is divided by s = max|xⱼ|^α / max|wⱼ|^(1−α), and the weights that read the channel are multiplied by s. The normalization or \
            layer before it takes the division into its constants, so no operator is added. α = 0.5 shares the difficulty evenly; a larger α moves \
            more of it into the weights. Weights stay float and the file stays as large: add static-int8 or dynamic-int8 after it.

            It works where LayerNormalization, BatchNormalization, a layer with constant weights, or per-channel constants come before the layer, \
            possibly with Relu, LeakyRelu, PRelu or pooling between, and where nothing else reads the value.
            """,
        source: "Xiao et al., SmoothQuant, arXiv:2211.10438, section 4",
        parameters: [
            ParameterDescriptor(
                "alpha", title: "Alpha", domain: .real(0...1, step: 0.05), default: .real(0.5),
                help: "Migration strength: 0 evens out weights, 1 evens out activations."),
            ReconstructingQuantizer.samples,
        ], needsCalibration: true)

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] { CalibratedScaling.refusals(layers, model) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try CalibratedScaling.rewritten(model, targets: targets, gram: false, context: context) { site, inputs, parameters, scaling in
            let alpha = parameters.real("alpha")
            var weights = [Float](repeating: 0, count: site.channels)
            for layer in site.consumers {
                guard let weight = scaling.weight(layer) else { continue }
                for (channel, largest) in layer.largestPerInput(weight, channels: site.channels).enumerated() { weights[channel] = max(weights[channel], largest) }
            }
            let activations = inputs[0].perChannel(inputs[0].largestMagnitude, channels: site.channels, max)
            return zip(activations, weights).map { activation, weight in
                guard activation > 0, weight > 0 else { return 1 }
                let factor = pow(Double(activation), alpha) / pow(Double(weight), 1 - alpha)
                // The paper's own bound against channels that were never seen.
                return Float(min(max(factor, 1e-5), 1e5))
            }
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}

/// What methods have in common that choose factors at scaling sites by what calibration data shows of the inputs.
enum CalibratedScaling {
    static func refusals(_ layers: [Layer], _ model: Model) -> [String?] {
        let sites = ScalingSites(model)
        return layers.map { layer in
            if let reason = InputWindows.refusal(for: layer, in: model) { return reason }
            guard case .failure(let refusal) = sites.site(before: layer) else { return nil }
            return refusal.reason
        }
    }

    /// The model with the factors of every site in front of a target applied, in graph order.
    /// - Parameter factors: of a site, given the statistics of its consumers' inputs, the parameters of its first target, and
    ///   the model so far.
    static func rewritten(
        _ model: Model, targets: [LayerTarget], gram: Bool, context: RewriteContext,
        factors: (ScalingSite, [LayerInputs], ParameterValues, ChannelScaling) throws -> [Float]
    ) throws -> Model {
        let finder = ScalingSites(model)
        var seen = Set<String>()
        var sites: [(site: ScalingSite, parameters: ParameterValues)] = []
        for target in targets.sorted(by: { $0.layer.nodeIndex < $1.layer.nodeIndex }) {
            guard case .success(let site) = finder.site(before: target.layer), seen.insert(site.value).inserted else { continue }
            sites.append((site, target.parameters))
        }
        let limit = targets.map { $0.parameters.integer("samples") }.max() ?? 1
        var gathering = context
        gathering.progress = { fraction, what in context.progress(fraction * 0.6, what) }
        let statistics = try InputStatistics.remembered(of: model, layers: sites.flatMap(\.site.consumers), gram: gram, limit: limit, context: gathering)
        var scaling = ChannelScaling(model)
        for (number, entry) in sites.enumerated() {
            try context.cancellation.check()
            context.progress(0.6 + 0.4 * Double(number) / Double(sites.count), "scaling \(entry.site.consumers[0].id)")
            let inputs = entry.site.consumers.compactMap { statistics[$0.id] }
            guard inputs.count == entry.site.consumers.count else {
                context.notes.add("\(entry.site.consumers[0].id): calibration did not reach its inputs; left as it is")
                continue
            }
            scaling.apply(try factors(entry.site, inputs, entry.parameters, scaling), at: entry.site)
        }
        return scaling.model
    }
}
