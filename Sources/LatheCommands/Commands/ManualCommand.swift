import ArgumentParser

struct Manual: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual", abstract: "Print the man page.", discussion: "lathe manual > lathe.1; Docs/lathe.1 is kept equal to it.")

    func run() throws {
        Console.print(try ManualPage(help: Lathe._dumpHelp()).mdoc(version: Version.number, date: Version.date))
    }
}
