import ArgumentParser
import Foundation
import ModelGraph
import Recipes

struct Presets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presets", abstract: "List the recipes that come with the program, or print one.",
        discussion: """
            '--recipe preset:NAME' uses one on any model: steps that do not apply to a model are skipped. Printed to a file, a preset is a recipe \
            to start from.
            """)

    @Argument(help: "A preset to print as a recipe file.", completion: .list(RecipePreset.all.map(\.id)))
    var preset: String?

    @OptionGroup var output: OutputOptions

    @Option(help: ArgumentHelp("Write a recipe file for each preset into a folder.", valueName: "folder"), completion: .directory)
    var writeRecipes: String?

    func run() throws {
        var presets = RecipePreset.all
        if let preset {
            presets = presets.filter { $0.id == preset }
            guard !presets.isEmpty else {
                throw BadInput("there is no preset '\(preset)', expected one of \(RecipePreset.all.map(\.id).joined(separator: ", "))")
            }
        }
        if let writeRecipes {
            try FileManager.default.createDirectory(atPath: writeRecipes, withIntermediateDirectories: true)
            for preset in presets { try AtomicFile.write(preset.yaml, to: (writeRecipes as NSString).appendingPathComponent(preset.id + ".yaml")) }
            if !output.json { return }
        }
        if output.json {
            Console.print(try PresetsDocument(presets: try presets.map(PresetsDocument.Preset.init)).printed())
        } else if preset != nil, let only = presets.first {
            Console.print(only.yaml.hasSuffix("\n") ? String(only.yaml.dropLast()) : only.yaml)
        } else {
            var table = TextTable([("", .left), ("", .left)])
            for preset in presets { table.add(preset.id, preset.title) }
            let details = presets.map { "\($0.id)\n\(TechniquePages.wrapped($0.summary, width: 100))" }
            Console.print(([table.text] + details + ["'--recipe preset:NAME' uses one; 'lathe presets NAME' prints it."]).joined(separator: "\n\n"))
        }
    }
}

/// What `lathe presets --json` prints.
struct PresetsDocument: JSONDocument {
    struct Preset: Encodable {
        var id: String
        var title: String
        var summary: String
        var recipe: RecipeDocument

        init(_ preset: RecipePreset) throws {
            id = preset.id
            title = preset.title
            summary = preset.summary
            recipe = RecipeDocument(try preset.recipe(), reports: nil)
        }
    }

    let schema = "lathe.presets/1"
    var presets: [Preset]
}
