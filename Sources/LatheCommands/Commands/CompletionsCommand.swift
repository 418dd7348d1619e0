import ArgumentParser

struct Completions: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print a completion script for a shell.",
        discussion: """
            bash: lathe completions bash > ~/.local/share/bash-completion/completions/lathe. \
            zsh: lathe completions zsh > a folder of $fpath, as _lathe. \
            fish: lathe completions fish > ~/.config/fish/completions/lathe.fish.
            """)

    enum Shell: String, CaseIterable, ExpressibleByArgument {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() throws {
        let known: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        Console.print(Lathe.completionScript(for: known))
    }
}
