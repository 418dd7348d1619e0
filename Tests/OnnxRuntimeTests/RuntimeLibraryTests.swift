import Foundation
import Testing

@testable import OnnxRuntime

@Suite struct RuntimeLibraryTests {
    @Test func knowsItsReleaseAndHasTheProcessorProvider() throws {
        let library = try testLibrary()
        #expect(library.version >= RuntimeVersion(1, 17))
        #expect(library.availableProviders.contains("CPUExecutionProvider"))
        #expect(FileManager.default.fileExists(atPath: library.path))
    }

    @Test func loadingAgainGivesTheSameLibrary() throws {
        let library = try testLibrary()
        #expect(try RuntimeLibrary.load(path: library.path) === library)
        // A folder stands for the library in it.
        let folder = (library.path as NSString).deletingLastPathComponent
        #expect(try RuntimeLibrary.load(path: folder) === library)
        let link = try scratchFolder().appendingPathComponent("libonnxruntime.so")
        try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: library.path)
        #expect(try RuntimeLibrary.load(path: link.path) === library)
        #expect(try RuntimeLibrary.current() === library)
    }

    @Test func aPathToNothingIsAnErrorThatSaysWhatToDo() {
        let error = failure { try RuntimeLibrary.load(path: "/nowhere/libonnxruntime.so") }
        guard case .libraryUnusable(let attempt) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempt.path == "/nowhere/libonnxruntime.so")
        #expect(attempt.reason == "no such file")
        let text = error?.description ?? ""
        #expect(text.contains("make setup") && text.contains("LATHE_ONNXRUNTIME") && !text.contains("\n"))
    }

    @Test func aFileThatIsNoLibraryIsAnError() throws {
        let file = try scratchFolder().appendingPathComponent("libonnxruntime.so")
        try Data("not a library".utf8).write(to: file)
        guard case .libraryUnusable(let attempt) = failure({ try RuntimeLibrary.load(path: file.path) }) else {
            Issue.record("not refused as a library")
            return
        }
        #expect(!attempt.reason.isEmpty)
    }

    @Test func anotherLibraryIsAnError() throws {
        let path = try compile("int something_else(void) { return 1; }")
        guard case .libraryUnusable(let attempt) = failure({ try RuntimeLibrary.load(path: path) }) else {
            Issue.record("not refused as a library")
            return
        }
        #expect(attempt.reason.contains("OrtGetApiBase"))
    }

    /// An old library writes to stderr when asked for a table it lacks, so it must not be asked: this one aborts.
    @Test func anOldLibraryIsRefusedByItsVersionAlone() throws {
        let path = try compile(
            """
            #include <stdlib.h>
            static const void *get_api(unsigned version) { abort(); }
            static const char *get_version(void) { return "1.16.3"; }
            static const struct { const void *(*get_api)(unsigned); const char *(*version)(void); } base =
                {get_api, get_version};
            const void *OrtGetApiBase(void) { return &base; }
            """)
        let error = failure { try RuntimeLibrary.load(path: path) }
        guard case .libraryUnusable(let attempt) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempt.reason == "it is release 1.16.3, and 1.17 or later is needed")
    }

    /// Cut short anywhere, a library is refused before the system's loader maps what is not there.
    @Test func aLibraryThatIsCutShortIsRefused() throws {
        let path = try compile("const void *OrtGetApiBase(void) { return 0; } char table[100000] = {1};")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        try #require(whole.count > 100_000 && LibraryFile.problem(path) == nil)
        let cut = try scratchFolder().appendingPathComponent("libonnxruntime.so")
        for length in [0, 3, 4, 63, 64, 100, 1000, 4096, whole.count / 2, whole.count - 5000, whole.count - 1] {
            try whole.prefix(length).write(to: cut)
            guard case .libraryUnusable(let attempt) = failure({ try RuntimeLibrary.load(path: cut.path) }) else {
                Issue.record("\(length) of \(whole.count) bytes are not refused")
                continue
            }
            #expect(attempt.reason.contains("cut short") || attempt.reason.contains("empty") || attempt.reason.contains("no ELF header"), "\(length): \(attempt.reason)")
        }
        try FileManager.default.removeItem(at: cut)
        try #require(mkfifo(cut.path, 0o644) == 0)
        guard case .libraryUnusable(let attempt) = failure({ try RuntimeLibrary.load(path: cut.path) }) else {
            Issue.record("a pipe is not refused")
            return
        }
        #expect(attempt.reason == "not a regular file")
    }

    /// The library looks for it while it is being opened: this one tells by its version what it found.
    @Test func telemetryIsOffBeforeTheLibraryIsOpened() throws {
        let path = try compile(
            """
            #include <stdlib.h>
            #include <string.h>
            static const char *version = "1.1";
            __attribute__((constructor)) static void look(void) {
                const char *off = getenv("ORT_DISABLE_TELEMETRY");
                if (off && !strcmp(off, "1")) version = "1.2";
            }
            static const void *get_api(unsigned number) { return 0; }
            static const char *get_version(void) { return version; }
            static const struct { const void *(*get_api)(unsigned); const char *(*version)(void); } base = {get_api, get_version};
            const void *OrtGetApiBase(void) { return &base; }
            """)
        guard case .libraryUnusable(let attempt) = failure({ try RuntimeLibrary.load(path: path) }) else {
            Issue.record("not refused as too old")
            return
        }
        #expect(attempt.reason.hasPrefix("it is release 1.2"))
    }

    @Test func theEnvironmentNamesTheLibraryUnlessTheCallerDoes() {
        let environment = ["LATHE_ONNXRUNTIME": "/a/libonnxruntime.so"]
        #expect(LibrarySearch.named(path: nil, environment: environment)?.path == "/a/libonnxruntime.so")
        #expect(LibrarySearch.named(path: "/b/lib.so", environment: environment)?.path == "/b/lib.so")
        #expect(LibrarySearch.named(path: nil, environment: [:]) == nil)
        #expect(LibrarySearch.named(path: nil, environment: ["LATHE_ONNXRUNTIME": ""]) == nil)
    }

    @Test(arguments: [
        ("1.31.1", RuntimeVersion(1, 31, 1)), ("1.24.0-dev+abc", RuntimeVersion(1, 24)),
        ("1.17", RuntimeVersion(1, 17)), ("2.0.0", RuntimeVersion(2, 0)),
    ])
    func readsVersions(text: String, version: RuntimeVersion) {
        #expect(RuntimeVersion(text) == version)
    }

    @Test func versionsCompareAsNumbers() throws {
        #expect(RuntimeVersion(1, 9) < RuntimeVersion(1, 17))
        #expect(RuntimeVersion(1, 17, 3) >= .oldestSupported)
        #expect(RuntimeVersion("nonsense") == nil)
        #expect(RuntimeVersion("") == nil)
    }

    @Test func whatTheRuntimeSaysIsKeptOffTheTerminal() throws {
        let library = try testLibrary()
        let session = try session("fails.onnx")
        let x = try Value([1, 2, 3] as [Float], shape: [3], library: library)
        let shape = try Value([7] as [Int64], shape: [1], library: library)
        _ = failure { try session.run(inputs: [("x", x), ("shape", shape)]) }
        let said = library.log.recent.filter { $0.session == "fails.onnx" || $0.text.contains("bad") }
        #expect(!said.isEmpty)
        #expect(said.allSatisfy { $0.severity >= 3 && !$0.text.contains("\u{1B}") && !$0.text.contains("\n") })
    }

    // MARK: Help

    private func scratchFolder() throws -> URL {
        let folder = URL(fileURLWithPath: try Oracle.path("scratch-\(UUID().uuidString)"))
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func compile(_ source: String) throws -> String {
        let folder = try scratchFolder()
        let file = folder.appendingPathComponent("library.c")
        try Data(source.utf8).write(to: file)
        let library = folder.appendingPathComponent("libonnxruntime.so").path
        let compiler = Process()
        compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        compiler.arguments = ["clang", "-shared", "-fPIC", "-o", library, file.path]
        try compiler.run()
        compiler.waitUntilExit()
        try #require(compiler.terminationStatus == 0)
        return library
    }
}
