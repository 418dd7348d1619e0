import Foundation
import PythonOracle
import Testing

/// What is generated is up to date, and what is shown works.
@Suite struct DocumentationTests {
    private func page(_ name: String) throws -> String {
        try String(contentsOfFile: Repository.root + "/Docs/\(name)", encoding: .utf8)
    }

    @Test func manPageIsUpToDateAndWellFormed() throws {
        let printed = try Program.run("manual")
        #expect(printed.status == 0)
        #expect(try page("lathe.1") == printed.output, "run: lathe manual > Docs/lathe.1")
        let man = try ChildProcess.run(
            "/usr/bin/env", ["man", "--warnings=w", "-l", Repository.root + "/Docs/lathe.1"],
            environment: ["MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"])
        #expect(man.status == 0 && man.errors.isEmpty, "\(man.errors)")
        for heading in ["NAME", "SYNOPSIS", "COMMANDS", "EXIT STATUS"] { #expect(man.output.contains(heading)) }
    }

    @Test func techniquePagesAreUpToDate() throws {
        let folder = try TemporaryFolder()
        let figures = Repository.root + "/Docs/Results/technique-figures.json"
        #expect(try Program.run("techniques", "--write-docs", folder.path, "--figures", figures).status == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        let committed = Repository.root + "/Docs/Techniques"
        #expect(try FileManager.default.contentsOfDirectory(atPath: committed).sorted() == names, "run: make docs")
        for name in names { #expect(try contents(folder.file(name)) == contents("\(committed)/\(name)"), "\(name): run: make docs") }
    }

    @Test func keysPageIsUpToDate() throws {
        let printed = try Program.run("keys", "--markdown")
        #expect(printed.status == 0)
        #expect(try page("Keys.md") == printed.output, "run: make docs")
    }

    @Test func measuresPageIsUpToDate() throws {
        let printed = try Program.run("measures", "--markdown")
        #expect(printed.status == 0)
        #expect(try page("Measures.md") == printed.output, "run: make docs")
    }

    @Test func completionsAreValidScripts() throws {
        for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
            let script = try Program.run("completions", shell)
            #expect(script.status == 0 && script.output.contains("lathe"))
            guard try ChildProcess.run("/bin/sh", ["-c", "command -v \(check)"]).status == 0 else { continue }
            let folder = try TemporaryFolder()
            let file = folder.file("script")
            try Data(script.output.utf8).write(to: URL(fileURLWithPath: file))
            let result = try ChildProcess.run("/usr/bin/env", [check, "-n", file])
            #expect(result.status == 0, "\(shell): \(result.errors)")
        }
    }

    /// Every recipe shown in the format's page is one.
    @Test func recipesInTheDocumentationWork() throws {
        let text = try page("RecipeFormat.md")
        let blocks = text.matches(of: /```yaml\n([\s\S]*?)```/).map { String($0.output.1) }
        #expect(blocks.count >= 2)
        let folder = try TemporaryFolder()
        for (number, block) in blocks.enumerated() {
            let recipe = folder.file("recipe-\(number).yaml")
            try Data(block.utf8).write(to: URL(fileURLWithPath: recipe))
            let result = try Program.run(
                "apply", Samples.path("lenet-5"), "--recipe", recipe, "--output", folder.file("\(number).onnx"))
            #expect(result.status == 0, "\(block)\n\(result.errors)")
        }
    }

    /// The first screen of the README says how to run and test.
    @Test func readme() throws {
        let text = try String(contentsOfFile: Repository.root + "/README.md", encoding: .utf8)
        let first = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(40).joined(separator: "\n")
        #expect(first.contains("make run") && first.contains("make test"))
    }

    /// Every page links to files that exist.
    @Test func linksLeadSomewhere() throws {
        let root = Repository.root
        let top = try FileManager.default.contentsOfDirectory(atPath: root)
        let folders = ["Docs", "findings", "SampleModels", "Tests/RealModels"]
        let inner = folders.flatMap { folder in (FileManager.default.subpaths(atPath: "\(root)/\(folder)") ?? []).map { "\(folder)/\($0)" } }
        let pages = (top + inner).filter { $0.hasSuffix(".md") }
        #expect(pages.count > 70)
        for page in pages {
            let file = URL(fileURLWithPath: "\(root)/\(page)")
            for link in try String(contentsOf: file, encoding: .utf8).matches(of: /\]\(([^)#:\s]+)(#[^)]*)?\)/).map({ String($0.output.1) }) {
                let target = file.deletingLastPathComponent().appendingPathComponent(link)
                #expect(FileManager.default.fileExists(atPath: target.path), "\(page) links to \(link)")
            }
        }
    }
}
