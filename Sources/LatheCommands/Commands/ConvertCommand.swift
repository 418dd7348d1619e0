import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import ModelGraph
import Recipes

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write a recipe as another tool takes it.",
        discussion: """
            What the tool has no word for is listed, a line for each. The scripts say at their head how they are run. Layers are those of the model; \
            AIMET's encodings are the scales that the recipe comes to, and need the data that it needs.
            """)

    @OptionGroup var source: ModelOptions

    @OptionGroup(title: "Recipe") var recipe: RecipeOptions

    @Option(help: ArgumentHelp("The tool: \(ConversionTarget.allCases.map { "\($0.rawValue) (\($0.help))" }.joined(separator: ", ")).", valueName: "tool"))
    var to: ConversionTarget

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write; otherwise it is printed.", valueName: "file"), completion: .file())
    var output: String?

    @Option(help: ArgumentHelp("The data set, for techniques that calibrate.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String?

    func validate() throws {
        if recipe.isEmpty { throw ValidationError("nothing to convert: give --recipe or --step") }
    }

    func run() throws {
        let request = OpenRequest(modelPath: source.model, dataPath: data, recipePath: recipe.recipe, runtimePath: source.runtime)
        try Outputs.check([output]) { request.filesRead }
        let recipe = try recipe.resolve()
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: output == nil)
        let converted = try Failure.about(source.model) {
            let session = try EngineSession.open(request, cancellation: cancellation, progress: { progress.show($0, $1) })
            return try session.converted(recipe, to: to, cancellation: cancellation)
        }
        progress.clear()
        for omission in converted.omissions { Console.warn("\(source.model): not for \(to.rawValue): \(omission)") }
        if let output {
            try AtomicFile.write(converted.text, to: output)
            Console.print("wrote \(output) (\(Written.exact(converted.text.utf8.count)) bytes)")
        } else {
            Console.print(converted.text.hasSuffix("\n") ? String(converted.text.dropLast()) : converted.text)
        }
    }
}

extension ConversionTarget: ExpressibleByArgument {}
