import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Train a model, after a recipe or as it is, and write it.",
        discussion: """
            The same as a 'fine-tuning' step at the end of a recipe: stochastic gradient descent on the data set's train split, run by ONNX \
            Runtime. Zeros of pruned weights, shared values and integers are kept. After each epoch the validation split is evaluated; \
            the best epoch is kept. The same seed gives the same weights, bit for bit.

            A checkpoint is written after every epoch: --resume continues an interrupted training. A finished \
            training is remembered and used at once the next time; --anew trains again.
            """)

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set, with a train split: a YAML description.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String

    @OptionGroup(title: "Recipe before training") var recipe: RecipeOptions

    @OptionGroup var teaching: TeacherOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The ONNX file to write.", valueName: "file"), completion: .file(extensions: ["onnx"]))
    var output: String

    @Option(help: ArgumentHelp("Passes over the training samples.", valueName: "count"))
    var epochs: String?

    @Option(help: ArgumentHelp("Largest learning rate.", valueName: "rate"))
    var learningRate: String?

    @Option(help: ArgumentHelp("adamw, adam or sgd.", valueName: "name"), completion: .list(["adamw", "adam", "sgd"]))
    var optimizer: String?

    @Option(help: ArgumentHelp("Samples of a step.", valueName: "count"))
    var batch: String?

    @Option(help: ArgumentHelp("labels, distillation, both, logits or huber.", valueName: "name"), completion: .list(["labels", "distillation", "both", "logits", "huber"]))
    var loss: String?

    @Option(
        help: ArgumentHelp(
            "Any other parameter of 'fine-tuning', as name=value; may be repeated.", discussion: "'lathe techniques fine-tuning' lists them.", valueName: "name=value"))
    var set: [String] = []

    @Option(help: ArgumentHelp("Seed of the order of samples and of augmentation.", valueName: "number"))
    var seed: UInt64?

    @Flag(help: "Start from random weights instead of the model's (He initialization).")
    var initialize = false

    @Flag(help: "Continue from the checkpoint of an interrupted training; an error if there is none.")
    var resume = false

    @Flag(help: "Train again, even if this training is remembered or has a checkpoint.")
    var anew = false

    @OptionGroup var checking: CheckOptions

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if resume, anew { throw ValidationError("--resume and --anew exclude each other") }
    }

    func run() throws {
        try Outputs.check([output]) { request.filesRead }
        var recipe = try recipe.resolve()
        if let seed { recipe.seed = seed }
        recipe.steps.append(try step())
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: printing.json)
        let document = try Failure.about(source.model) { try trained(recipe, progress, cancellation) }
        progress.clear()
        Console.print(printing.json ? try document.printed() : document.text)
    }

    private var request: OpenRequest {
        OpenRequest(modelPath: source.model, dataPath: data, recipePath: recipe.recipe, runtimePath: source.runtime, teacherPath: teaching.teacher)
    }

    private func step() throws -> RecipeStep {
        let technique = "fine-tuning"
        guard let descriptor = TechniqueRegistry.technique(technique)?.descriptor else { throw BadInput("there is no technique '\(technique)'") }
        var values = ParameterValues()
        let given = [("epochs", epochs), ("learning-rate", learningRate), ("optimizer", optimizer), ("batch", batch), ("loss", loss)]
        var pairs = given.compactMap { name, value in value.map { (name, $0) } }
        for text in set {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw BadInput("--set \(text): expected name=value") }
            pairs.append((parts[0], parts[1]))
        }
        for (name, text) in pairs {
            guard let parameter = descriptor.parameter(name) else {
                throw BadInput("--set \(name): fine-tuning has \(descriptor.parameters.map(\.name).joined(separator: ", "))")
            }
            values[name] = try parameter.parse(text)
        }
        return RecipeStep(technique: technique, parameters: values)
    }

    private func trained(_ recipe: Recipe, _ progress: ProgressLine, _ cancellation: Cancellation) throws -> TrainDocument {
        var session = try EngineSession.open(request, cancellation: cancellation, progress: { progress.show($0, $1) })
        for warning in RecipeNotes.warnings(recipe, session) { Console.warn("\(source.model): \(warning)") }
        if initialize { session = session.replacingModel(try Initialization.random(session.model, seed: recipe.seed)) }
        let trainings = session.trainings
        defer { if let remark = trainings.takeRemark() { Console.warn(remark) } }
        var source = try session.trainingSource()
        let last = TrainingRecord(.metric(session.info.metric ?? .top1))
        source.progress = { last.set($0) }
        source.demand = resume ? .checkpoint : anew ? .anew : .none
        let quiet = printing.json
        let began = Date()
        let applied = try session.apply(recipe, training: source, cancellation: cancellation) { fraction, text in
            // A finished epoch's line takes the place of the progress line, which is drawn again below it.
            if !quiet, last.hasNewEpochs {
                progress.clear()
                last.printNewEpochs()
            }
            progress.show(text, fraction)
        }
        progress.clear()
        if !quiet { last.printNewEpochs() }
        progress.show("writing \(output)")
        let written = try session.write(applied.model, to: output, check: checking.check, externalData: checking.externalData, cancellation: cancellation)
        for remark in written.remarks { Console.warn("\(output): \(remark)") }
        session.changedSources.forEach(SourceChanges.warn)
        return TrainDocument(
            session: session, recipe: recipe, applied: applied, summary: applied.reports.last?.training, seconds: Date().timeIntervalSince(began), output: output,
            bytes: written.byteCount,
            split: source.samples.count)
    }
}
