import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Techniques

/// Lets samples that are easy leave the network early.
public struct EarlyExits: WholeModelTechnique, LiveTechnique {
    public init() {}

    static let id = "early-exits"

    public let liveParameter = "threshold"

    public func profiler(of model: Model) -> (any LiveProfiler)? { ExitProfiler(model) }

    public let descriptor = TechniqueDescriptor(
        id: EarlyExits.id,
        title: "Early exits",
        family: .earlyExit,
        summary: "Classifies from intermediate features: confident samples skip the rest of the network",
        details: """
            At values that everything passes through, a linear classifier is added on averages of the features over a grid. It is a ridge regression \
            in closed form, on calibration data, to the original model's outputs (soft targets) or to the labels. Ridge and a temperature are chosen \
            by leaving each sample out in turn, so that the largest probability of every exit is a calibrated confidence and one threshold serves all \
            exits. A sample whose confidence is above it leaves with that exit's answer; an ONNX If holds the rest of the network. In a batch the rest \
            runs only on the remaining rows, which are gathered and scattered back, so a sample's answer does not depend on the other samples.

            The file grows by the exits. MACs are the expected ones, given the shares of samples that leave at each exit; latency is a mean over \
            validation samples. A sample that never leaves takes longer than before, by the cost of all exits. Exits are placed by the network's MACs, \
            after the chosen layers. Values with paths around them (masks, long skip connections) cannot be exits. Put this step last: the exits are \
            fitted to the model as it is then.
            """,
        source:
            "Teerapittayanon, McDanel and Kung, BranchyNet: Fast Inference via Early Exiting from Deep Neural Networks, ICPR 2016; Guo et al., On Calibration of Modern Neural Networks, ICML 2017",
        parameters: [
            ParameterDescriptor(
                "threshold", title: "Threshold", domain: .real(0...1, step: 0.005), default: .real(0.965),
                help: "Samples whose largest probability is above this leave; 1 lets none leave"),
            ParameterDescriptor(
                "exits", title: "Exits", domain: .integer(1...8, step: 1), default: .integer(3), unit: "exits",
                help: "How many, spread evenly over the network's MACs; fewer if fewer are possible"),
            ParameterDescriptor(
                "grid", title: "Grid", domain: .integer(1...16, step: 1), default: .integer(7), unit: "cells",
                help: "Features are averages over this many cells along each spatial axis at most; 1 averages over the whole map"),
            ParameterDescriptor(
                "targets", title: "Targets",
                domain: .choice([
                    .init("outputs", "the model's own probabilities: labels are not needed"),
                    .init("labels", "the calibration data's labels; the model's outputs where there are none"),
                    .init("both", "the mean of the two"),
                ]), default: .choice("outputs"), help: "What the exits are fitted to"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(64...8192, step: 64), default: .integer(2048), unit: "samples",
                help: "Calibration samples that exits are fitted to, at most"),
        ],
        needsCalibration: true, requires: [], produces: [.earlyExit])

    /// Features of an exit at most: the fit is cubic in them.
    static let largestWidth = 2048

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let sites = ExitSites(model, layers: layers, shapes: shapes)
        if let reason = sites.refusal { return layers.map { _ in reason } }
        let places = Set(sites.all.map(\.layer))
        return layers.indices.map { places.contains($0) ? nil : "no exit is possible after it" }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let source = try context.requiredCalibration()
        guard let parameters = targets.first?.parameters else { return }
        let (sites, layers, places) = ExitSites.chosen(parameters.integer("exits"), &model, targets: targets, context: context)
        context.progress(0, "collecting features")
        let fitting = ExitFitting(model: model, sites: sites, parameters: parameters, context: context)
        let fitted = try fitting.fit(places, source)
        guard !fitted.isEmpty else { throw EngineError(.technique, "early-exits: no possible exit has features for each sample") }
        let threshold = parameters.real("threshold")
        try ExitAssembly(sites: sites, classes: fitting.classes, threshold: threshold).build(&model, fitted)
        Self.note(fitted, layers, shares: ExitAssembly.shares(fitted, classes: fitting.classes, threshold: threshold), asked: parameters.integer("exits"), context)
    }

    /// Says where exits stand, how good they are and who leaves there.
    static func note(_ exits: [FittedExit], _ layers: [Layer], shares: [Double], asked: Int, _ context: RewriteContext) {
        for (number, exit) in exits.enumerated() {
            let right = exit.agreement.map { ", agrees with the model on \(percent($0))" } ?? ""
            context.notes.add(
                "exit \(number + 1) after \(layers[exit.site.layer].id), after \(percent(exit.site.fraction)) of the MACs: \(exit.width) features\(right); "
                    + "\(percent(shares[number])) of calibration samples leave there")
        }
        if exits.count < asked { context.notes.add("only \(exits.count) exits are possible") }
    }

    private static func percent(_ value: Double) -> String { String(format: "%.1f %%", value * 100) }

    /// How many samples leave where is not known without running them: the front end knows once it has, and lays that over.
    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}
