import Archive
import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import ModelGraph
import Recipes

struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Apply a recipe to a model and write the compressed model.",
        discussion: "The same model, recipe and data always give the same bytes. Only techniques that calibrate or train need data.")

    @OptionGroup var source: ModelOptions

    @OptionGroup(title: "Recipe") var recipe: RecipeOptions

    @OptionGroup var teaching: TeacherOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The ONNX file to write.", valueName: "file"), completion: .file(extensions: ["onnx"]))
    var output: String?

    @Option(help: ArgumentHelp("Write the packed archive as well.", valueName: "file"), completion: .file(extensions: ["lathe"]))
    var pack: String?

    @Option(help: ArgumentHelp("Write the recipe as well, with the model's hash.", valueName: "file"), completion: .file(extensions: ["yaml"]))
    var saveRecipe: String?

    @Flag(help: "Put the recipe and its figures into the model's metadata, where 'lathe inspect' finds them.")
    var record = false

    @Option(help: ArgumentHelp("The data set, for techniques that calibrate or train.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String?

    @OptionGroup var targeting: TargetOptions

    @OptionGroup var checking: CheckOptions

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if output == nil, pack == nil { throw ValidationError("nothing to write: give --output or --pack") }
        if recipe.isEmpty { throw ValidationError("nothing to apply: give --recipe or --step") }
    }

    func run() throws {
        try Outputs.check([output, pack, saveRecipe]) { request.filesRead }
        let recipe = try recipe.resolve()
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: printing.json)
        let document = try Failure.about(source.model) { try applied(recipe, progress, cancellation) }
        progress.clear()
        Console.print(printing.json ? try document.printed() : document.text)
        guard let objections = document.target?.objections, !objections.isEmpty else { return }
        for objection in objections { Console.error("\(output ?? source.model): not for \(targeting.target?.name ?? ""): \(objection)") }
        throw Failure.requirementNotMet
    }

    private var request: OpenRequest {
        OpenRequest(modelPath: source.model, dataPath: data, recipePath: recipe.recipe, runtimePath: source.runtime, teacherPath: teaching.teacher)
    }

    private func applied(_ recipe: Recipe, _ progress: ProgressLine, _ cancellation: Cancellation) throws -> ApplyDocument {
        let session = try EngineSession.open(request, cancellation: cancellation, progress: { progress.show($0, $1) })
        defer { if let remark = session.trainings.takeRemark() { Console.warn(remark) } }
        for warning in RecipeNotes.warnings(recipe, session) { Console.warn("\(source.model): \(warning)") }
        let applied = try session.apply(recipe, cancellation: cancellation) { progress.show($1, $0) }
        // All the work before the first file.
        let packed = try pack.map { _ in try Archive.pack(applied.model, cancellation: cancellation) { progress.show("packing \($1)", $0) } }
        try cancellation.check()
        var document = ApplyDocument(model: ModelReference(session.info), recipe: RecipeDocument(recipe, reports: applied.reports))
        if let target = targeting.target { document.target = ApplyDocument.Target(name: target.name, objections: target.objections(to: applied.model)) }
        if let output {
            progress.show("writing \(output)")
            let made = record ? try session.recorded(applied.model, recipe, program: "lathe \(Version.number)", cancellation: cancellation) : applied.model
            let written = try session.write(made, to: output, check: checking.check, externalData: checking.externalData, cancellation: cancellation)
            for remark in written.remarks { Console.warn("\(output): \(remark)") }
            document.add(.model, output, written.byteCount)
            if written.byteCount * 50 > session.info.fileBytes * 51 {
                Console.warn("\(output): larger than the model's file, \(Written.bytes(Double(written.byteCount))) after \(Written.bytes(Double(session.info.fileBytes)))")
            }
            document.advice = SparseAdvice.line(applied.model, fileBytes: written.byteCount)
        }
        if let pack, let packed {
            try packed.write(to: pack)
            document.add(.archive, pack, packed.byteCount)
        }
        if let saveRecipe {
            var saved = recipe
            saved.modelHash = session.info.modelHash
            try AtomicFile.write(saved.yaml, to: saveRecipe)
            document.add(.recipe, saveRecipe, saved.yaml.utf8.count)
        }
        session.changedSources.forEach(SourceChanges.warn)
        return document
    }
}
