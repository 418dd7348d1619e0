import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// What stands where a file is to be written: files are replaced as a whole, devices and pipes are written to and never replaced.
@Suite struct OutputPlaceTests {
    private func isLink(_ path: String) -> Bool { (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) != nil }

    @Test func openFilesOfTheProcess() throws {
        for (path, number) in [("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/1", 1), ("/proc/self/fd/2", 2), ("/dev/../dev/stdout", 1)] as [(String, Int32)] {
            #expect(try OutputPlace(path) == .descriptor(number), "\(path)")
        }
    }

    @Test func filesDevicesAndPipes() throws {
        let folder = try TemporaryFolder()
        try folder.write("there", "old")
        try #require(mkfifo(folder.file("pipe"), 0o644) == 0)
        for (link, target) in [("to-file", "there"), ("to-nothing", "new"), ("to-device", "/dev/null"), ("to-pipe", "pipe"), ("to-link", "to-device"), ("ring", "ring")] {
            try FileManager.default.createSymbolicLink(atPath: folder.file(link), withDestinationPath: target)
        }
        for name in ["there", "new", "to-file", "to-nothing", "no/such/folder"] { #expect(try OutputPlace(folder.file(name)) == .file, "\(name)") }
        for name in ["to-device", "pipe", "to-pipe", "to-link"] { #expect(try OutputPlace(folder.file(name)) == .stream, "\(name)") }
        for path in [folder.path, folder.file("ring")] {
            let error = #expect(throws: ModelGraphError.self) { try OutputPlace(path) }
            #expect(error?.message.hasPrefix(path) == true)
        }
    }

    @Test func streamsAreWrittenToAndStay() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createSymbolicLink(atPath: folder.file("null"), withDestinationPath: "/dev/null")
        try AtomicFile.write("gone", to: folder.file("null"))
        #expect(try isLink(folder.file("null")) && OutputPlace(folder.file("null")) == .stream)
        #expect(throws: ModelGraphError.self) { try AtomicFile.write("no room", to: "/dev/full") }

        try #require(mkfifo(folder.file("pipe"), 0o644) == 0)
        // Read and write, so that opening it does not wait.
        let reader = open(folder.file("pipe"), O_RDWR | O_CLOEXEC)
        try #require(reader >= 0)
        defer { close(reader) }
        try AtomicFile.write("through the pipe", to: folder.file("pipe"))
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(reader, &bytes, bytes.count)
        #expect(String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self) == "through the pipe")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["null", "pipe"])
    }

    @Test(.timeLimit(.minutes(1))) func pipesThatNobodyReadsAreRefused() throws {
        let folder = try TemporaryFolder()
        try #require(mkfifo(folder.file("pipe"), 0o644) == 0)
        let error = #expect(throws: ModelGraphError.self) { try AtomicFile.write("to nobody", to: folder.file("pipe")) }
        #expect(error?.message.contains("nobody reads") == true)
    }
}
