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

    /// Prices in a table are numbers: the draft says so, the check names the metric that is measured, and its value is numpy's.
    @Test func pricesInATable() throws {
        let folder = try TemporaryFolder()
        let truth = try Python.run(
            """
            import json, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            r = np.random.default_rng(4)
            x, w = r.standard_normal((60, 3)).round(4).astype('f4'), np.array([[20], [-7], [3]], 'f4')
            y = (x @ w)[:, 0] + r.standard_normal(60) * 2 + 50
            price = [f'{v:.2f}' for v in y]
            graph = h.make_graph([h.make_node('Gemm', ['x', 'w', 'b'], ['y'])], 'g', [h.make_tensor_value_info('x', T.FLOAT, ['n', 3])],
                                 [h.make_tensor_value_info('y', T.FLOAT, ['n', 1])], [nh.from_array(w, 'w'), nh.from_array(np.array([50], 'f4'), 'b')])
            model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)]); model.ir_version = 8
            onnx.save(model, args[0] + '/m.onnx')
            open(args[0] + '/t.csv', 'w').write('a,b,c,target\\n' + ''.join(f'{a},{b},{c},{p}\\n' for (a, b, c), p in zip(x, price)))
            for name, metric in [('mae', 'metric: mae\\n'), ('none', '')]:
                open(f'{args[0]}/{name}.yaml', 'w').write(f'format: csv\\n{metric}source: {{file: t.csv}}\\nfractions: {{validation: 1}}\\n')
            error = (x.astype(float) @ w)[:, 0] + 50 - np.array(price, float)
            print(json.dumps([float(np.abs(error).mean()), float(np.sqrt((error ** 2).mean()))]))
            """, folder.path)
        let expected = try JSON(parsing: truth).array.compactMap(\.double)
        let model = folder.file("m.onnx")
        #expect(try Program.run(["data", model, folder.file("t.csv")]).output.contains("metric: mae  # labels have decimals"))
        for (index, name) in ["mae", "none"].enumerated() {
            let data = folder.file("\(name).yaml")
            let report = try Program.json(["evaluate", model, "--data", data, "--no-latency", "--quick"])
            #expect(abs((report["accuracy.value"]?.double ?? 0) - expected[index]) < 1e-4, "\(report["accuracy.value"]?.double ?? 0) against \(expected[index])")
            let title = try #require(report["accuracy.metric"]?.string)
            let check = try Program.json(["data", "check", model, "--data", data])
            #expect(check["metric"]?.string == ["mae", "rmse"][index] && title == ["MAE", "RMSE"][index])
        }
    }

    /// A mask with a class that the model has no scores for is named, by the evaluation and by the check.
    @Test func masksBeyondTheModel() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, onnx
            from PIL import Image
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            r = np.random.default_rng(4)
            graph = h.make_graph([h.make_node('Conv', ['x', 'w'], ['y'])], 'g', [h.make_tensor_value_info('x', T.FLOAT, ['n', 3, 8, 8])],
                                 [h.make_tensor_value_info('y', T.FLOAT, ['n', 4, 8, 8])], [nh.from_array(r.standard_normal((4, 3, 1, 1)).astype('f4'), 'w')])
            model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)]); model.ir_version = 8
            onnx.save(model, args[0] + '/m.onnx')
            for name in ['img', 'masks']: os.makedirs(f'{args[0]}/{name}')
            for i in range(8):
                Image.fromarray(r.integers(0, 256, (8, 8, 3), dtype='u1')).save(f'{args[0]}/img/{i}.png')
                mask = r.integers(0, 4, (8, 8), dtype='u1'); mask[0, :3] = 255
                Image.fromarray(mask).save(f'{args[0]}/masks/{i}.png')
            for name, ignore in [('void', ', ignore: 255'), ('counted', '')]:
                open(f'{args[0]}/{name}.yaml', 'w').write(f'format: images\\nmetric: {{kind: mean-iou{ignore}}}\\nsource: {{folder: img, masks: masks}}\\nfractions: {{validation: 1}}\\n')
            """, folder.path)
        let model = folder.file("m.onnx")
        let refused = try Program.run(["evaluate", model, "--data", folder.file("counted.yaml"), "--no-latency", "--quick"])
        #expect(refused.status == 2 && refused.errorLines.count == 1, "\(refused.errors)")
        for part in ["/masks/", ".png: ", "class 255", "4 classes", "'ignore: 255'"] { #expect(refused.errors.contains(part), "\(refused.errors)") }
        #expect(try Program.run(["evaluate", model, "--data", folder.file("void.yaml"), "--no-latency", "--quick"]).status == 0)
        func warnings(_ name: String) throws -> [String] {
            try Program.json(["data", "check", model, "--data", folder.file(name)])["warnings"]?.array.compactMap(\.string) ?? []
        }
        #expect(try warnings("counted.yaml").contains { $0.contains("has class 255, the model gives 4") } && !warnings("void.yaml").contains { $0.contains("255,") })
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
