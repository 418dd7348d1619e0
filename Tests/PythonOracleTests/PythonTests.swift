import PythonOracle
import Testing

/// The worker that other tests rely on: scripts leave each other alone, and one that fails takes no other with it.
@Suite struct PythonTests {
    @Test func scriptsSeeTheirArgumentsAndNothingOfEachOther() throws {
        #expect(try Python.run("x = 1\nprint(args, sys.argv[1:], np.arange(3).sum())", "a", "b c") == "['a', 'b c'] ['a', 'b c'] 3\n")
        // As many as there are workers, and more.
        for _ in 0..<4 { #expect(try Python.run("print('x' in globals())") == "False\n") }
    }

    @Test func aScriptThatFailsGivesItsTraceback() throws {
        let error = try #require(throws: Python.Failure.self) { try Python.run("def f():\n    return 1 / 0\nf()") }
        #expect(error.description.contains("line 2, in f") && error.description.contains("ZeroDivisionError"))
        #expect(throws: Python.Failure.self) { try Python.run("raise SystemExit('no')") }
        #expect(try Python.run("import sys; sys.exit(0)") == "")
    }

    @Test func aWorkerThatDiesIsReplaced() throws {
        for _ in 0..<3 {
            let error = try #require(throws: Python.Failure.self) { try Python.run("import os; os.write(2, b'last words'); os._exit(3)") }
            #expect(error.description.contains("last words"))
        }
        #expect(try Python.run("print(1)") == "1\n")
    }

    @Test func aScriptThatHangsIsEnded() throws {
        let error = try #require(throws: Python.Failure.self) { try Python.run("while True: pass", arguments: [], limit: 0.5) }
        #expect(error.description.contains("too long"))
        #expect(try Python.run("print(1)") == "1\n")
    }

    /// More than a pipe holds, both ways.
    @Test func largeScriptsAndOutputs() throws {
        let text = String(repeating: "lathe ", count: 500_000)
        #expect(try Python.run("print(args[0], end='')", text) == text)
    }
}
