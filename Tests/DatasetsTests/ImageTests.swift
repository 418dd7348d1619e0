import Foundation
import PythonOracle
import TestSupport
import Testing

@testable import Datasets

@Suite("Images, against Pillow")
struct ImageTests {
    /// A folder with smooth and noisy images in every flavour of PNG and JPEG that data sets contain.
    private func gallery() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os
            from PIL import Image
            r = np.random.default_rng(9)
            y, x = np.mgrid[0:37, 0:53]
            rgb = np.stack([x * 4, y * 6, (x + y) * 2], -1).astype('u1')
            rgb[10:20, 10:20] = r.integers(0, 256, (10, 10, 3))
            image = Image.fromarray(rgb)
            base = args[0]
            for c in ['cat', 'dog', 'eel']: os.makedirs(f'{base}/{c}')
            image.save(f'{base}/cat/rgb.png')
            image.convert('L').save(f'{base}/cat/gray.png')
            image.convert('P').save(f'{base}/cat/palette.png')
            image.convert('RGBA').save(f'{base}/dog/alpha.png')
            image.convert('1').save(f'{base}/dog/bits.png')
            image.save(f'{base}/dog/a.jpg', quality=95)
            image.save(f'{base}/eel/b.jpeg', quality=60, progressive=True)
            image.convert('L').save(f'{base}/eel/gray.JPG')
            image.save(f'{base}/eel/c.jpg', quality=90, subsampling=0)
            open(f'{base}/eel/notes.txt', 'w').write('not an image')
            """, folder.path)
        return folder
    }

    @Test("Decoded pixels: PNG exactly, JPEG to a gray level or two")
    func decoding() throws {
        let folder = try gallery()
        let images = try SampleFolder(path: folder.path)
        #expect(images.classNames == ["cat", "dog", "eel"] && images.files.count == 9)
        #expect(images.classOfFile == [0, 0, 0, 1, 1, 1, 2, 2, 2])
        for path in images.files {
            try Python.run("from PIL import Image\nnp.asarray(Image.open(args[0]).convert('RGB')).tofile(args[1])", path, folder.path + "/raw")
            let expected = try InputFile.read(folder.path + "/raw")
            let image = try ImageDecoding.decode(path: path)
            try #require(image.height == 37 && image.width == 53 && image.pixels.count == expected.count)
            let worst = zip(image.pixels, expected).map { abs(Int($0) - Int($1)) }.max() ?? 0
            #expect(worst <= (path.hasSuffix("png") ? 0 : 2), "\(path): \(worst)")
        }
    }

    @Test("Resize, crop, gray and layout: what a torchvision pipeline would give, bit for bit")
    func pipeline() throws {
        let folder = try gallery()
        let path = folder.path + "/cat/rgb.png"
        let raw = try ImageDecoding.decode(path: path)
        let script = """
            from PIL import Image
            im = Image.open(args[0]).convert('RGB')
            h, w = map(int, args[2].split(','))
            np.asarray(im.resize((w, h), Image.BILINEAR)).tofile(args[1])
            """
        for (height, width) in [(20, 30), (37, 53), (37, 17), (64, 100), (5, 5), (74, 53), (1, 1)] {
            try Python.run(script, path, folder.path + "/raw", "\(height),\(width)")
            #expect(try raw.resized(height: height, width: width).pixels == (InputFile.read(folder.path + "/raw")), "\(height) × \(width)")
        }
        try Python.run("from PIL import Image\nnp.asarray(Image.open(args[0]).convert('L')).tofile(args[1])", path, folder.path + "/raw")
        #expect(try raw.converted(to: .gray).pixels == (InputFile.read(folder.path + "/raw")))

        // Shorter side to 24, center crop 22 × 21, normalize per channel, channels first and last.
        try Python.run(
            """
            from PIL import Image
            im = Image.open(args[0]).convert('RGB')
            w, h = im.size
            im = im.resize((int(24 * w / h), 24), Image.BILINEAR)
            w, h = im.size
            top, left = int(round((h - 22) / 2)), int(round((w - 21) / 2))
            im = im.crop((left, top, left + 21, top + 22))
            f = np.float32
            mean, std = np.array([.485, .456, .406], f), np.array([.229, .224, .225], f)
            x = (np.asarray(im).astype(f) * f(1 / 255) - mean) / std
            x.tofile(args[1] + '/nhwc'); x.transpose(2, 0, 1).tofile(args[1] + '/nchw')
            x = (np.asarray(im)[..., ::-1].astype(f) * f(1 / 255) - mean) / std
            x.transpose(2, 0, 1).tofile(args[1] + '/bgr')
            """, path, folder.path)
        for (name, layout, channels) in [("nchw", Preprocessing.Layout.nchw, Preprocessing.Channels.rgb), ("nhwc", .nhwc, .rgb), ("bgr", .nchw, .bgr)] {
            let preprocessing = Preprocessing(
                scale: 1.0 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: layout, resize: .shorterSide(24),
                crop: [22, 21], channels: channels)
            let shape = layout == .nchw ? [3, 22, 21] : [22, 21, 3]
            var floats = [Float](repeating: 0, count: 3 * 22 * 21)
            try floats.withUnsafeMutableBufferPointer {
                try PixelPipeline(preprocessing, shape: shape).apply(raw, into: $0.baseAddress!, place: "x")
            }
            #expect(try floats == (Python.floats("\(folder.path)/\(name)")), "\(name)")
        }
    }

    @Test("A folder alone: classes from sub-folders, resized to the model's input")
    func folderAlone() throws {
        let folder = try gallery()
        let input = ModelInputDescription(name: "x", type: .float32, shape: [nil, 1, 8, 8])
        let dataset = try DatasetLoader.open(path: folder.path, inputs: [input])
        #expect(dataset.classes == ["cat", "dog", "eel"] && dataset.metric == .top1)
        #expect(dataset.splits.flatMap(\.rows).sorted() == Array(0..<9))
        let values = try dataset.validation.prepared().floats()
        #expect(values.count == dataset.validation.count * 64 && values.allSatisfy { (0...1).contains($0) } && values.max()! > 0.5)
    }

    @Test("A damaged image is named when it is reached; others are not affected")
    func damaged() throws {
        let folder = try gallery()
        let bytes = try InputFile.read(folder.path + "/eel/c.jpg")
        try folder.write("eel/c.jpg", Array(bytes[..<(bytes.count / 2)]))
        let yaml = try folder.write(
            "d.yaml", "format: images\npreprocessing: {scale: 0.00392156862745098, shape: [3, 8, 8]}\nsplits:\n  validation: {folder: .}\n  test: {folder: cat}\n")
        // The same images in two splits:
        #expect(message { _ = try DatasetLoader.open(path: yaml, inputNames: ["x"]) }.contains("overlap"))
        try folder.write("d.yaml", "format: images\npreprocessing: {shape: [3, 8, 8]}\nsource: {folder: .}\nfractions: {validation: 1}\n")
        let prepared = try DatasetLoader.open(path: yaml, inputNames: ["x"]).validation.prepared(.file)
        #expect(message { try prepared.prepareAll(threads: 2) }.contains("eel/c.jpg: damaged JPEG"))
        let png = try InputFile.read(folder.path + "/cat/rgb.png")
        try folder.write("cat/rgb.png", Array(png[..<(png.count - 30)]))
        #expect(message { _ = try ImageDecoding.decode(path: folder.path + "/cat/rgb.png") }.contains("damaged PNG"))
        try folder.write("cat/rgb.png", "hello")
        #expect(message { _ = try ImageDecoding.decode(path: folder.path + "/cat/rgb.png") }.contains("neither a PNG nor a JPEG"))
    }

    @Test("Arrays of images take the same way as files: channels last in NPZ, resized and made gray")
    func arrays() throws {
        let folder = try gallery()
        try Python.run(
            """
            from PIL import Image
            im = Image.open(args[0] + '/cat/rgb.png').convert('RGB')
            a = np.asarray(im)
            np.savez(args[0] + '/hwc.npz', x=np.stack([a] * 4), labels=np.zeros(4, 'u1'))
            np.savez(args[0] + '/chw.npz', x=np.stack([a.transpose(2, 0, 1)] * 4), labels=np.zeros(4, 'u1'))
            f = np.float32
            (np.asarray(im.convert('L').resize((20, 10), Image.BILINEAR)).astype(f) * f(0.5)).tofile(args[0] + '/small')
            a.astype(f).transpose(2, 0, 1).tofile(args[0] + '/plain')
            """, folder.path)
        for name in ["hwc", "chw"] {
            let yaml = try folder.write(
                "a.yaml", "format: npz\npreprocessing: {scale: 0.5, resize: [10, 20], channels: gray}\nsource: {file: \(name).npz}\n")
            let small = try DatasetLoader.open(path: yaml, inputNames: ["x"]).validation
            #expect(small.inputs[0].shape == [1, 10, 20])
            #expect(try Array(small.prepared().floats().prefix(200)) == (Python.floats(folder.path + "/small")), "\(name)")
            // Without any preprocessing, the model's own shape says that channels come first.
            let model = ModelInputDescription(name: "x", type: .float32, shape: [nil, 3, 37, 53])
            let plain = try DatasetLoader.open(path: "\(folder.path)/\(name).npz", inputs: [model]).validation.prepared()
            #expect(try Array(plain.floats().prefix(3 * 37 * 53)) == (Python.floats(folder.path + "/plain")), "\(name)")
        }
    }
}
