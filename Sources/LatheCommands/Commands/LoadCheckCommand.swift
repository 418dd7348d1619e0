import ArgumentParser
import CompressionEngine
import Foundation
import OnnxRuntime

/// Loads one file in ONNX Runtime and says what it takes and gives: what the program asks a process of its own, which may crash.
struct LoadCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "load-check", abstract: "Load a file in ONNX Runtime.", shouldDisplay: false)

    @Argument var file: String
    @Option var runtime: String
    /// Of the inputs, as JSON, to run it too.
    @Option var shapes = "{}"

    func run() throws {
        let shapes = try JSONDecoder().decode([String: [Int]].self, from: Data(shapes.utf8))
        switch LoadCheck.loaded(file, try RuntimeLibrary.load(path: runtime), shapes: shapes) {
        case .loads(let contract):
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            Console.print(String(decoding: try encoder.encode(contract), as: UTF8.self))
        case .refused(let reason), .unknown(let reason): throw BadInput(reason)
        }
    }
}
