import Archive
import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import ModelGraph

struct Pack: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pack",
        abstract: "Pack a model into an entropy-coded archive.",
        discussion: """
            Each tensor takes the smallest of these forms: relative-index sparse matrices, codebooks, canonical Huffman codes, range codes. A recipe's \
            huffman or range-coding step decides which codes are used. 'unpack' gives the ONNX file back, byte by byte if lathe wrote it; of \
            other files constants and weights come back in lathe's form, which computes the same, and a line says so. --compare also packs it \
            with each code alone and by gzip, and measures how fast one core decodes each.
            """)

    @Argument(help: "The model, an ONNX file.", completion: .file(extensions: ["onnx"]))
    var model: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The archive to write.", valueName: "file"), completion: .file(extensions: ["lathe"]))
    var output: String

    @Flag(help: "List the codes with their sizes and decoding speeds.")
    var compare = false

    @OptionGroup var printing: OutputOptions

    /// Whether a file holds what lathe would write of the model.
    private static func isWritten(_ model: Model, _ path: String) -> Bool {
        guard let file = try? MappedFile(path: path), let written = try? model.serialized() else { return false }
        var offset = 0
        var isEqual = written.byteCount == file.bytes.count
        written.forEachChunk { chunk in
            guard isEqual, !chunk.isEmpty else { return }
            isEqual = memcmp(file.bytes.baseAddress! + offset, chunk.baseAddress!, chunk.count) == 0
            offset += chunk.count
        }
        return isEqual
    }

    func run() throws {
        try Outputs.check([output]) {
            var files = FilesRead()
            files.add(model: model, "the model")
            return files
        }
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: printing.json)
        let document = try Failure.about(model) {
            progress.show("reading \(model)")
            let read = try Model.read(path: model)
            let packed = try Archive.write(read, to: output, cancellation: cancellation) { progress.show("packing \($1)", $0) }
            if let file = read.sources.first, read.sources.count > 1 || packed.serializedByteCount != file.size || !Self.isWritten(read, file.path) {
                Console.warn(
                    "\(model): not written by lathe: what 'unpack' gives has \(read.graph.nodes.count) nodes and \(packed.serializedByteCount) bytes, and computes the same")
            }
            if compare { progress.show("comparing codes") }
            return PackDocument(
                model: model, archive: output, packed: packed, comparison: compare ? try CodingComparison(read, cancellation: cancellation) : nil)
        }
        progress.clear()
        Console.print(printing.json ? try document.printed() : document.text)
    }
}

struct Unpack: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpack",
        abstract: "Restore the ONNX file from an archive.",
        discussion: "An archive that claims to hold more than a thousand times its size is refused; --limit allows it.")

    @Argument(help: "The archive.", completion: .file(extensions: ["lathe"]))
    var archive: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The ONNX file to write.", valueName: "file"), completion: .file(extensions: ["onnx"]))
    var output: String

    @Option(help: ArgumentHelp("Allow an ONNX file of at most this many bytes.", valueName: "bytes"))
    var limit: ByteQuantity?

    @Flag(help: "Write the weights into a file of their own, named like the ONNX file with .data behind it.")
    var externalData = false

    @OptionGroup var printing: OutputOptions

    func run() throws {
        try Outputs.check(externalData ? [output, output + ".data"] : [output]) {
            var files = FilesRead()
            files.add(archive, "the archive itself")
            return files
        }
        let cancellation = Interruption.watch()
        let document = try Failure.about(archive) {
            let most = limit.flatMap(\.bytes.whole)
            let bytes =
                externalData
                ? try Self.extractPair(archive, to: output, most, cancellation) : try Archive.extract(path: archive, to: output, maximumBytes: most, cancellation: cancellation)
            return UnpackDocument(archive: try FileSize(archive), model: FileSize(path: output, bytes: bytes))
        }
        Console.print(printing.json ? try document.printed() : "wrote \(output) (\(Written.exact(document.model.bytes)) bytes)")
    }

    /// Writes the weights' file, then that of the graph, which names it.
    /// - Returns: the bytes of both.
    private static func extractPair(_ archive: String, to output: String, _ limit: Int?, _ cancellation: Cancellation) throws -> Int {
        let model = try Archive.read(path: archive, maximumBytes: limit, cancellation: cancellation)
        let pair = try ModelWithExternalData(model, fileName: (output as NSString).lastPathComponent + ".data")
        try pair.writeWeights(to: output + ".data")
        try pair.graph.write(to: output)
        return pair.graph.byteCount + pair.weightByteCount
    }
}
