import ArgumentParser
import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph

/// `lathe data`, which drafts a declaration unless told to check one.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Write a first declaration for data files, or show what a model gets of a data set.",
        subcommands: [DataDraft.self, DataCheck.self], defaultSubcommand: DataDraft.self)
}

/// `lathe data MODEL FILE…`
struct DataDraft: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "draft", abstract: "Write a first declaration of data files for a model, with a comment at each assumption.",
        discussion: """
            The files are a folder of images or recordings, with sub-folders as classes; such a folder and a table that lists its files; images and masks; images and \
            COCO's annotations, or images and a folder of YOLO's text files; IDX, .npz, .npy or .csv; lines of token ids (.jsonl). \
            Docs/DataSets.md says what a declaration may hold. 'lathe data check' shows what the model then gets.
            """)

    @Argument(help: "The model, an ONNX file.", completion: .file(extensions: ["onnx"]))
    var model: String

    @Argument(help: "Files and folders of data.", completion: .file())
    var files: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The declaration to write; standard output if left out.", valueName: "file"), completion: .file(extensions: ["yaml", "yml"]))
    var output: String?

    func validate() throws {
        if files.isEmpty { throw ValidationError("expected files or folders of data behind the model") }
    }

    func run() throws {
        let read = try Failure.about(model) { try Model.read(path: model) }
        try Outputs.check([output]) {
            var known = FilesRead()
            known.add(model: model, "the model")
            for file in files { known.add(file, "the data") }
            return known
        }
        let folder = output.map { ($0 as NSString).deletingLastPathComponent }
        let inputs = read.graph.requiredInputs.map(\.inputDescription)
        let draft = try DeclarationDraft(files: files, inputs: inputs, outputs: read.graph.outputs.map { $0.shape?.map(\.fixedValue) }) { path in
            guard let folder else { return path }
            return Self.path(path, seenFrom: folder)
        }
        if let output {
            try AtomicFile.write(draft.text, to: output)
            try check(draft, output, inputs)
            Console.print("wrote \(output); 'lathe data check \(model) --data \(output)' shows what the model gets")
        } else {
            Console.print(draft.text)
            try check(draft, "draft.yaml", inputs)
        }
    }

    /// What is still missing, as the loader says it.
    private func check(_ draft: DeclarationDraft, _ file: String, _ inputs: [ModelInputDescription]) throws {
        let declaration = try DatasetDeclaration.parse(draft.text, file: file)
        do {
            _ = try DatasetLoader.open(declaration, inputs: inputs)
        } catch let error as EngineError {
            Console.warn("the declaration needs more: \(error.message)")
        }
    }

    /// Relative where the file lies below the declaration's folder.
    static func path(_ path: String, seenFrom folder: String) -> String {
        func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
        let (file, base) = (absolute(path), absolute(folder.isEmpty ? "." : folder))
        if file == base { return "." }
        let prefix = base.hasSuffix("/") ? base : base + "/"
        return file.hasPrefix(prefix) ? String(file.dropFirst(prefix.count)) : file
    }
}

/// `lathe data check MODEL --data D`
struct DataCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Show what a model gets of a data set: shapes, ranges, a picture, labels.",
        discussion: "The first samples in the order of evaluation are prepared as they are for the model. Nothing is run.")

    @Argument(help: "The model, an ONNX file.", completion: .file(extensions: ["onnx"]))
    var model: String

    @Option(help: ArgumentHelp("The data set: a declaration, or data that needs none.", valueName: "file"), completion: .file())
    var data: String

    @Option(help: ArgumentHelp("The split to look at.", valueName: "name"))
    var split: SplitName = .validation

    @Option(help: ArgumentHelp("How many samples.", valueName: "count"))
    var samples = 32

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if !(1...100_000).contains(samples) { throw ValidationError("--samples: expected 1 to 100000") }
    }

    func run() throws {
        let read = try Failure.about(model) { try Model.read(path: model) }
        let dataset = try DatasetLoader.open(path: data, inputs: read.graph.requiredInputs.map(\.inputDescription))
        guard let chosen = dataset.split(split) else {
            throw BadInput("\(data): no \(split.rawValue) split, there are \(dataset.splits.map(\.name.rawValue).joined(separator: ", "))")
        }
        let document = try DataCheckDocument(dataset: dataset, split: chosen, limit: samples, model: read)
        if printing.json { return Console.print(try document.printed()) }
        Console.print(try DataCheckText.text(document, dataset: dataset, split: chosen))
    }
}

extension SplitName: ExpressibleByArgument {}
