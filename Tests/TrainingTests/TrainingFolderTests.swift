import Foundation
import Testing

@testable import Training

@Suite struct TrainingFolderTests {
    @Test("Beyond the limit what was not used for longest goes; what is trained now, by whomever, and what was just written stay")
    func limit() throws {
        let place = try TemporaryFolder()
        let folder = TrainingFolder(path: place.path, limit: 250)
        for (age, name) in ["held.checkpoint", "old.result", "touched.result", "young.result", "new.checkpoint"].enumerated() {
            let file = try place.write("\(name).onnx", [UInt8](repeating: 1, count: 100))
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: Double(age) * 10 - 1000)], ofItemAtPath: file)
        }
        try place.write("notes.txt", [UInt8](repeating: 1, count: 1000))
        func names() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: place.path).filter { $0.hasSuffix(".onnx") }.map { String($0.prefix { $0 != "." }) }.sorted()
        }
        folder.touch(place.path + "/touched.result.onnx")
        let use = try #require(TrainingFolder.Use.begin(folder: place.path, key: "held"))
        #expect(TrainingFolder.Use.begin(folder: place.path, key: "held") == nil, "two at one training")
        folder.prune(keeping: "new")
        #expect(try names() == ["held", "new"])
        withExtendedLifetime(use) {}
        let remark = try #require(folder.takeRemark())
        #expect(remark.hasPrefix(place.path) && remark.contains("3 trainings"))
        #expect(folder.takeRemark() == nil)
        #expect(FileManager.default.fileExists(atPath: place.path + "/notes.txt"))
    }

    @Test func withinTheLimitNothingGoes() throws {
        let place = try TemporaryFolder()
        try place.write("a.result.onnx", [UInt8](repeating: 1, count: 100))
        let folder = TrainingFolder(path: place.path, limit: 100)
        folder.prune(keeping: "b")
        #expect(FileManager.default.fileExists(atPath: place.path + "/a.result.onnx") && folder.takeRemark() == nil)
        do { _ = TrainingFolder.Use.begin(folder: place.path, key: "a") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["a.result.onnx"], "a lock left behind")
    }
}
