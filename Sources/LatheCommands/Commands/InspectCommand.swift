import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show a model's layers, parameters, compute, sizes and memory; needs no data.",
        discussion: """
            Sizes are those of files that can be written: the ONNX file, its gzip, lathe's packed archive. The theoretical encoding counts the bits \
            of the encoding. MACs are multiply-accumulates of Conv, Gemm, MatMul and recurrent layers at batch 1. \
            MACs and activation memory need ONNX Runtime; the rest does not.
            """)

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("A data set, for the shapes of inputs that the model leaves open.", valueName: "file"), completion: .file())
    var data: String?

    @Option(
        help: ArgumentHelp(
            "The shape of an input that the model leaves open; may be repeated.",
            discussion: "For example image=1x3x224x224. Otherwise batch 1, 3 channels, 224×224 images and sequences of 64 are assumed.",
            valueName: "input=shape"))
    var shape: [InputShape] = []

    @OptionGroup var sizes: SizeOptions

    @OptionGroup var output: OutputOptions

    func run() throws {
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: output.json)
        let document = try Failure.about(source.model) {
            let session = try EngineSession.open(
                OpenRequest(modelPath: source.model, dataPath: data, runtimePath: source.runtime),
                inputShapes: Dictionary(shape.map { ($0.name, $0.extents) }, uniquingKeysWith: { $1 }), cancellation: cancellation,
                progress: { progress.show($0, $1) })
            try check(session.model)
            progress.show("counting")
            return try inspected(session, cancellation)
        }
        progress.clear()
        Console.print(output.json ? try document.printed() : InspectText.text(document))
    }

    /// A shape for an input that does not exist would otherwise be passed over.
    private func check(_ model: Model) throws {
        let names = model.graph.requiredInputs.map(\.name)
        for given in shape where !names.contains(given.name) {
            throw BadInput("\(source.model): --shape: there is no input '\(given.name)', the model has \(names.map(\.shortened).joined(separator: ", "))")
        }
    }

    private func inspected(_ session: EngineSession, _ cancellation: Cancellation) throws -> InspectDocument {
        var warnings = session.info.warnings
        var figures: ModelFigures
        var shapes: ValueShapes?
        do {
            shapes = try session.shapes(of: session.model, cancellation: cancellation)
            figures = try session.baselineFigures(slowSizes: false, cancellation: cancellation)
        } catch let error as EngineError where error.kind != .cancelled {
            // The runtime refuses the model (an operator it lacks, a shape that does not fit): what needs no running is still true.
            warnings.append("no MACs and activations: \(error.message)")
            figures = try FigureCounting.figures(of: session.model, shapes: nil)
            figures.serializedBytes = Figure(Double(session.info.fileBytes), .measured)
        }
        if let remark = sizes.remark(on: figures) { warnings.append(remark) }
        if sizes.areCoded(figures) { try session.addSlowSizes(&figures, of: session.model, cancellation: cancellation) }
        let summaries = try LayerPreparation.summaries(
            of: session.model, layers: session.layers, shapes: shapes, cancellation: cancellation)
        return InspectDocument(session: session, figures: figures, summaries: summaries, warnings: warnings)
    }
}
