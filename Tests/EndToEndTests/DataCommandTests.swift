import Foundation
import PythonOracle
import Testing

/// `lathe data`: from files to a declaration, and from a declaration to what the model gets.
@Suite struct DataCommandTests {
    /// A draft for MNIST's files names the assumptions, opens as it is, and gives the accuracy of a declaration without normalization.
    @Test func draftAndCheck() throws {
        let folder = try TemporaryFolder()
        let model = Samples.path("lenet-5")
        let images = Repository.root + "/SampleModels/data/fashion-mnist"
        for part in ["images-idx3", "labels-idx1"] {
            try FileManager.default.createSymbolicLink(atPath: folder.file("t10k-\(part)-ubyte.gz"), withDestinationPath: "\(images)/t10k-\(part)-ubyte.gz")
        }
        let printed = try Program.run(["data", model, folder.path])
        #expect(printed.status == 0 && printed.output.contains("format: idx") && printed.output.contains("scale: 0.00392156862745098  # "), "\(printed.errors)")
        let path = folder.file("draft.yaml")
        let written = try Program.run(["data", model, folder.path, "--output", path])
        #expect(written.status == 0 && written.output.contains("lathe data check"), "\(written.errors)")
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains("images: t10k-images-idx3-ubyte.gz"))

        let truth = try Python.run(
            """
            import gzip, json
            x = np.frombuffer(gzip.open(args[0]).read(), 'u1', offset=16).astype('f4') * np.float32(1 / 255)
            print(json.dumps([float(x.max()), float(x.mean()), float(x.std())]))
            """, "\(images)/t10k-images-idx3-ubyte.gz")
        let expected = try JSON(parsing: truth).array.compactMap(\.double)
        let check = try Program.json(["data", "check", model, "--data", path, "--samples", "7000"])
        let all = try #require(check["inputs"]?.array.first?["all"])
        #expect(check["samples"]?.int == 7000 && check["count"]?.int == 7000)
        #expect(all["minimum"]?.double == 0 && all["maximum"]?.double == expected[0])
        // 70 % of the images, shuffled.
        #expect(abs((all["mean"]?.double ?? 0) - expected[1]) < 0.01 && abs((all["standardDeviation"]?.double ?? 0) - expected[2]) < 0.01)
        #expect(check["labels"]?.array.count == 8 && check["warnings"]?.array.isEmpty == true)

        let shown = try Program.run(["data", "check", model, "--data", path])
        let shades = shown.output.split(separator: "\n").filter { $0.contains { "░▒▓█".contains($0) } }
        #expect(shown.status == 0 && shades.count >= 10 && shown.output.contains("first labels") && !shown.output.contains("\u{1B}"), "\(shown.output)\(shown.errors)")
    }

    @Test func badInput() throws {
        let folder = try TemporaryFolder()
        let model = Samples.path("lenet-5")
        for (arguments, expected) in [
            (["data", model], "files"), (["data", model, folder.file("gone")], "gone: no such file or folder"), (["data", "gone.onnx", folder.path], "gone.onnx"),
            (["data", "check", model, "--data", Samples.data, "--split", "tset"], "split"), (["data", "check", model, "--data", folder.path], "no PNG or JPEG images"),
            (["data", model, Repository.root + "/SampleModels/data/fashion-mnist", "--output", model], "would overwrite the model"),
        ] {
            let result = try Program.run(arguments)
            #expect(result.status == 2 && result.errorLines.count == 1 && result.errors.contains(expected), "\(arguments): \(result.errors)")
        }
    }

    /// What looks wrong is said.
    @Test func warnings() throws {
        let folder = try TemporaryFolder()
        try Python.run("np.savez(args[0], image=np.full((20, 1, 28, 28), 255, 'f4'), labels=np.arange(20))", folder.file("d.npz"))
        let result = try Program.json(["data", "check", Samples.path("lenet-5"), "--data", folder.file("d.npz")])
        let warnings = result["warnings"]?.array.compactMap(\.string) ?? []
        #expect(warnings.contains { $0.contains("every value is 255") } && warnings.contains { $0.contains("pixels reach 255") })
        #expect(warnings.contains { $0.contains("labels reach 1") && $0.contains("the model gives 10 scores") }, "\(warnings)")
    }
}
