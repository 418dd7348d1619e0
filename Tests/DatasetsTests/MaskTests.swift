import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Masks, against Pillow")
struct MaskTests {
    private let input = ModelInputDescription(name: "x", type: .float32, shape: [nil, 3, 20, 24])

    /// One image of 41 × 57 and its mask in every kind of PNG; reference maps as int32 files named after geometry.
    private func gallery() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os
            from PIL import Image
            base = args[0]
            r = np.random.default_rng(3)
            m = np.kron(r.integers(0, 4, (8, 10)), np.ones((6, 6), int))[:41, :57].astype('u1')
            for name in ['img', 'gray', 'packed', 'palette', 'small', 'deep', 'color', 'alpha', 'bits']: os.makedirs(f'{base}/{name}')
            Image.fromarray(r.integers(0, 256, (41, 57, 3), dtype='u1')).save(f'{base}/img/one.jpg')
            Image.fromarray(m).save(f'{base}/gray/one.png')
            p = Image.fromarray(m, 'P'); p.putpalette([9, 8, 7, 255, 0, 0, 0, 255, 0, 0, 0, 255] + [0] * 756)
            p.save(f'{base}/palette/one.png', bits=8)
            p.save(f'{base}/small/one.png', bits=2)
            Image.fromarray(m.astype('u2') * 1000).save(f'{base}/deep/one.png')
            p.convert('RGB').save(f'{base}/color/one.png')
            Image.fromarray(np.stack([m, np.full_like(m, 255)], -1), 'LA').save(f'{base}/alpha/one.png')
            Image.fromarray((m > 1)).save(f'{base}/bits/one.png')
            im = Image.fromarray(m)
            np.asarray(im.resize((24, 20), Image.NEAREST)).astype('i4').tofile(f'{base}/exact')
            s = im.resize((int(57 * 26 / 41), 26), Image.NEAREST)
            w, h = s.size
            top, left = int(round((h - 20) / 2)), int(round((w - 24) / 2))
            np.asarray(s.crop((left, top, left + 24, top + 20))).astype('i4').tofile(f'{base}/crop')
            ratio = min(20 / 41, 24 / 57)
            nh, nw = round(41 * ratio), round(57 * ratio)
            box = np.full((20, 24), 255, 'i4')
            top, left = (20 - nh) // 2, (24 - nw) // 2
            box[top:top + nh, left:left + nw] = np.asarray(im.resize((nw, nh), Image.NEAREST))
            box.tofile(f'{base}/letterbox')
            """, folder.path)
        return folder
    }

    private func mask(_ folder: TemporaryFolder, _ kind: String, _ preprocessing: String = "{}") throws -> (classes: [Int32], shape: [Int]) {
        let yaml = try folder.write("d.yaml", "format: images\npreprocessing: \(preprocessing)\nsource: {folder: img, masks: \(kind)}\n")
        let split = try DatasetLoader.open(path: yaml, inputs: [input]).validation
        _ = try split.contentHash
        guard case .classes(let classes, let shape)? = try split.targets?.target(0) else {
            Issue.record("no classes")
            return ([], [])
        }
        return (classes, shape)
    }

    private func classes(_ dataset: Dataset, row: Int) throws -> [Int32] {
        guard case .classes(let classes, _)? = try dataset.validation.targets?.target(row) else { return [] }
        return classes
    }

    private func reference(_ folder: TemporaryFolder, _ name: String) throws -> [Int32] {
        try InputFile.read(folder.file(name)).withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    }

    @Test("Gray, palette, packed bits and 16 bits give the stored numbers, resized to the nearest pixel")
    func kinds() throws {
        let folder = try gallery()
        let expected = try reference(folder, "exact")
        for kind in ["gray", "palette", "small", "alpha"] {
            let found = try mask(folder, kind)
            #expect(found.shape == [20, 24] && found.classes == expected, "\(kind)")
        }
        #expect(try mask(folder, "deep").classes == expected.map { $0 * 1000 })
        #expect(try mask(folder, "bits").classes == expected.map { $0 > 1 ? 1 : 0 })
    }

    @Test("Resize with crop, and letterbox: as the image goes; outside is 255, or the declared class")
    func geometry() throws {
        let folder = try gallery()
        #expect(try mask(folder, "gray", "{resize: 26, crop: [20, 24]}").classes == reference(folder, "crop"))
        #expect(try mask(folder, "gray", "{resize: {letterbox: [20, 24]}}").classes == reference(folder, "letterbox"))
    }

    @Test("Colors by a list; others are an error that names color and place, or get a class")
    func colors() throws {
        let folder = try gallery()
        let all = "colors: [[9, 8, 7], [255, 0, 0], [0, 255, 0], [0, 0, 255]]"
        let expected = try reference(folder, "exact")
        for kind in ["color", "palette"] { #expect(try mask(folder, kind, "{\(all)}").classes == expected, "\(kind)") }
        #expect(try mask(folder, "color", "{colors: [[9, 8, 7], [255, 0, 0]], ignore: -100}").classes == expected.map { $0 > 1 ? -100 : $0 })
        #expect(message { _ = try mask(folder, "color", "{colors: [[9, 8, 7], [255, 0, 0]]}") }.contains("color/one.png: color [0, "))
        #expect(message { _ = try mask(folder, "color") }.contains("a mask in color; 'colors' under 'preprocessing'"))
    }

    @Test("Names of images and masks may end differently, as in Cityscapes; a draft finds out how")
    func suffixes() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os
            from PIL import Image
            for town in ['aachen', 'bonn']:
                for part in ['leftImg8bit', 'gtFine']: os.makedirs(f'{args[0]}/{part}/{town}')
                for i in range(3):
                    stem = f'{town}_00000{i}_000019'
                    Image.fromarray(np.full((20, 24, 3), i, 'u1')).save(f'{args[0]}/leftImg8bit/{town}/{stem}_leftImg8bit.png')
                    Image.fromarray(np.full((20, 24, 3), i, 'u1')).save(f'{args[0]}/gtFine/{town}/{stem}_gtFine_color.png')
                    for kind, value in [('labelIds', 30), ('labelTrainIds', i), ('instanceIds', 90)]:
                        m = np.full((20, 24), value, 'u1'); m[0, 0] = 255
                        Image.fromarray(m).save(f'{args[0]}/gtFine/{town}/{stem}_gtFine_{kind}.png')
            """, folder.path)
        func open(_ keys: String) throws -> Dataset {
            let yaml = try folder.write("d.yaml", "format: images\nsource: {folder: leftImg8bit, masks: gtFine\(keys)}\nfractions: {validation: 1}\n")
            return try DatasetLoader.open(path: yaml, inputs: [input])
        }
        let dataset = try open(", suffix: _leftImg8bit, mask_suffix: _gtFine_labelTrainIds")
        for row in 0..<6 {
            let classes = try classes(dataset, row: row)
            #expect(classes.first == 255 && classes.last == Int32(row % 3))
        }
        #expect(try dataset.validation.prepared(.file).targetPlace(4).hasSuffix("gtFine/bonn/bonn_000001_000019_gtFine_labelTrainIds.png"))
        #expect(message { _ = try open("") }.contains("is missing; 'suffix' and 'mask_suffix' say how names of images and masks end"))
        #expect(message { _ = try open(", suffix: _right") }.contains("its name does not end in the suffix '_right'"))
        #expect(message { _ = try DatasetDeclaration.parse("format: images\nsource: {folder: a, mask_suffix: b}", file: "d.yaml") }.contains("mask_suffix: only with 'masks'"))

        let draft = try DeclarationDraft(files: [folder.file("gtFine"), folder.file("leftImg8bit")], inputs: [input], outputs: []) { String($0.dropFirst(folder.path.count + 1)) }
        #expect(draft.text.contains("{folder: leftImg8bit, masks: gtFine, suffix: _leftImg8bit, mask_suffix: _gtFine_labelTrainIds}"), "\(draft.text)")
        #expect(draft.text.contains("metric: {kind: mean-iou, ignore: 255}") && draft.text.contains("The largest of 6 masks is 2"))
    }

    @Test("A draft takes black and white masks for two classes")
    func blackAndWhite() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os
            from PIL import Image
            for name in ['img', 'mask']: os.makedirs(f'{args[0]}/{name}')
            for i in range(3):
                Image.fromarray(np.full((20, 24, 3), i, 'u1')).save(f'{args[0]}/img/{i}.png')
                Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((10, 12))).astype('u1')).save(f'{args[0]}/mask/{i}_mask.png')
            """, folder.path)
        let draft = try DeclarationDraft(files: [folder.file("img"), folder.file("mask")], inputs: [input], outputs: []) { String($0.dropFirst(folder.path.count + 1)) }
        let dataset = try DatasetLoader.open(path: folder.write("d.yaml", draft.text), inputs: [input])
        let classes = try classes(dataset, row: 0)
        #expect(Set(classes) == [0, 1] && draft.text.contains("mask_suffix: _mask") && !draft.text.contains("ignore"), "\(draft.text)")
    }

    @Test("Missing, damaged and misshapen masks are named")
    func damaged() throws {
        let folder = try gallery()
        #expect(message { _ = try mask(folder, "img") }.contains("img/one.jpg: its mask"))
        let png = try InputFile.read(folder.file("gray/one.png"))
        try folder.write("bad/one.png", Array(png.dropLast(40)))
        #expect(message { _ = try mask(folder, "bad") }.contains("bad/one.png: damaged PNG"))
        try folder.write("bad/one.png", InputFile.read(folder.file("img/one.jpg")))
        #expect(message { _ = try mask(folder, "bad") }.contains("bad/one.png: not a PNG image"))
        try Python.run("from PIL import Image\nImage.fromarray(np.zeros((41, 41), 'u1')).save(args[0])", folder.file("bad/one.png"))
        #expect(message { _ = try mask(folder, "bad") }.contains("bad/one.png: 41 × 41 pixels, its image has 41 × 57"))
        #expect(message { _ = try mask(folder, "gray", "{ignore: 3}") }.contains("ignore: the class of colors"))
    }
}
