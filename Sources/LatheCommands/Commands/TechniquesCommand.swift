import ArgumentParser
import EngineSupport
import Foundation
import ModelGraph
import Recipes
import Techniques

struct Techniques: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "techniques", abstract: "List the techniques with their parameters, or describe one.")

    @Argument(help: "A technique to describe.", completion: .list(TechniqueRegistry.all.map(\.descriptor.id)))
    var technique: String?

    @OptionGroup var output: OutputOptions

    @Option(help: ArgumentHelp("Write a Markdown page for each technique into a folder.", valueName: "folder"), completion: .directory)
    var writeDocs: String?

    @Option(
        help: ArgumentHelp("Put what Benchmarks/technique_figures.py measured on those pages, and what Benchmarks/runtimes.py did beside it.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var figures: String?

    func run() throws {
        var descriptors = TechniqueRegistry.all.map(\.descriptor)
        if let technique {
            guard let found = TechniqueRegistry.technique(technique) else {
                throw BadInput("there is no technique '\(technique)', expected one of \(descriptors.map(\.id).joined(separator: ", "))")
            }
            descriptors = [found.descriptor]
        }
        if let writeDocs {
            try FileManager.default.createDirectory(atPath: writeDocs, withIntermediateDirectories: true)
            let measured = try figures.map { try TechniqueFigures(path: $0) }
            let pages = TechniquePages.all(TechniqueRegistry.all.map(\.descriptor), figures: measured, runtimes: try figures.flatMap { try RuntimeResults(beside: $0) }).map {
                (path: (writeDocs as NSString).appendingPathComponent($0.name), text: $0.text)
            }
            try Outputs.check(pages.map(\.path)) {
                var files = FilesRead()
                files.add(figures, "the figures")
                return files
            }
            for page in pages { try AtomicFile.write(page.text, to: page.path) }
            if !output.json { return }
        }
        if output.json {
            Console.print(try TechniqueDocument(descriptors).printed())
        } else if technique != nil, let descriptor = descriptors.first {
            Console.print(Self.description(of: descriptor))
        } else {
            Console.print(Self.list(descriptors))
        }
    }

    private static func list(_ descriptors: [TechniqueDescriptor]) -> String {
        var blocks: [String] = []
        for family in TechniqueDescriptor.Family.allCases {
            var table = TextTable([("", .left), ("", .left)])
            for descriptor in descriptors where descriptor.family == family { table.add(descriptor.id, descriptor.summary) }
            if !table.rows.isEmpty { blocks.append("\(family.title)\n\(table.text)") }
        }
        return blocks.joined(separator: "\n\n") + "\n\n'lathe techniques ID' describes one."
    }

    private static func description(of descriptor: TechniqueDescriptor) -> String {
        var text = "\(descriptor.title) (\(descriptor.id))\n\n\(TechniquePages.wrapped(descriptor.summary, width: 100))\n\n"
        text += TechniquePages.wrapped(descriptor.details, width: 100) + "\n"
        if !descriptor.parameters.isEmpty {
            var table = TextTable([("parameter", .left), ("default", .left), ("expected", .left), ("meaning", .left)])
            for parameter in descriptor.parameters {
                let unit = parameter.unit.isEmpty ? "" : " \(parameter.unit)"
                table.add(parameter.name, parameter.defaultValue.text + unit, parameter.expectation, parameter.help.onOneLine)
            }
            text += "\n\(table.text)\n"
        }
        let choices = descriptor.calibratedChoices
        let need = descriptor.needsCalibration ? "yes" : choices.isEmpty ? "no" : "for " + choices.joined(separator: ", ")
        text += "\nneeds calibration data: \(need)\nsource: \(descriptor.source)"
        return text
    }
}
