import ArgumentParser
import CompressionEngine
import Foundation
import TerminalCurses

struct Explore: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explore", abstract: "Open the explorer on a model (the default).")

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String?

    @Option(help: ArgumentHelp("Start with this recipe.", valueName: "file"), completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String?

    func run() throws {
        guard TerminalScreen.isInteractive else {
            throw BadInput(
                "the explorer needs a terminal; without one use 'lathe inspect \(source.model)', 'lathe evaluate' or 'lathe apply'")
        }
        // Before any thread starts: signals that only the terminal thread may take.
        TerminalScreen.prepareProcess()
        throw BadInput("the explorer is not in this build yet")
    }
}
