import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Boxes of COCO and YOLO")
struct DetectionTests {
    private let input = ModelInputDescription(name: "x", type: .float32, shape: [nil, 3, 64, 96])

    private func images() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os
            from PIL import Image
            os.makedirs(args[0] + '/img')
            r = np.random.default_rng(1)
            for name, h, w in [('a.jpg', 100, 60), ('b.png', 33, 70), ('c.png', 64, 96)]:
                Image.fromarray(r.integers(0, 256, (h, w, 3), dtype='u1')).save(f'{args[0]}/img/{name}')
            """, folder.path)
        return folder
    }

    private let coco = """
        {"info": {"x": [1, {"y": null}]}, "images": [{"id": 7, "file_name": "a.jpg", "height": 100, "width": 60, "license": 3}, {"id": 5, "file_name": "b.png"},
          {"id": 9, "file_name": "c.png", "height": 64, "width": 96}],
         "annotations": [
           {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 20.5, 30, 40], "area": 900.5, "iscrowd": 0, "segmentation": [[1, 2, 3, 4]]},
           {"id": 2, "image_id": 7, "category_id": 3, "bbox": [-5, 90, 20, 30], "area": 600, "iscrowd": 1, "segmentation": {"counts": "x", "size": [100, 60]}},
           {"id": 3, "image_id": 5, "category_id": 3, "bbox": [0, 0, 70, 33]},
           {"id": 4, "image_id": 5, "category_id": 3, "bbox": [80, 0, 5, 5]}],
         "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "car"}]}
        """

    private func open(_ folder: TemporaryFolder, preprocessing: String = "{}", extra: String = "") throws -> Dataset {
        let yaml = try folder.write(
            "d.yaml", "format: coco\n\(extra)preprocessing: \(preprocessing)\nsource: {annotations: c.json, folder: img}\nfractions: {validation: 1}\n")
        return try DatasetLoader.open(path: yaml, inputs: [input])
    }

    private func boxes(_ dataset: Dataset) throws -> [[TrueBox]] {
        try dataset.validation.rows.map {
            guard case .boxes(let boxes)? = try dataset.validation.targets?.target($0) else { return [] }
            return boxes
        }
    }

    @Test("COCO: categories by id, boxes in the model's pixels, clipped, with area and crowds")
    func annotations() throws {
        let folder = try images()
        try folder.write("c.json", coco)
        let dataset = try open(folder)
        #expect(dataset.classes == ["car", "dog"])
        let found = try boxes(dataset)
        // Stretched to 64 × 96: x · 1.6, y · 0.64.
        try #require(found.map(\.count) == [2, 1, 0])
        #expect(isClose(found[0][0], TrueBox(category: 1, left: 16, top: 13.12, right: 64, bottom: 38.72, area: 900.5 * 1.6 * 0.64)))
        #expect(isClose(found[0][1], TrueBox(category: 0, left: 0, top: 57.6, right: 24, bottom: 64, area: 600 * 1.6 * 0.64, isCrowd: true)))
        #expect(isClose(found[1][0], TrueBox(category: 0, left: 0, top: 0, right: 96, bottom: 64)))
        // Named classes decide the numbers.
        #expect(try boxes(open(folder, extra: "classes: [dog, cat, car]\n")).map { $0.map(\.category) } == [[0, 2], [2], []])
        #expect(message { _ = try open(folder, extra: "classes: [car]\n") }.contains("category 'dog' is not among the classes"))
        #expect(try dataset.validation.contentHash == open(folder).validation.contentHash)
    }

    private func isClose(_ a: TrueBox, _ b: TrueBox) -> Bool {
        let pairs = [(a.left, b.left), (a.top, b.top), (a.right, b.right), (a.bottom, b.bottom), (a.area, b.area)]
        return a.category == b.category && a.isCrowd == b.isCrowd && pairs.allSatisfy { abs($0 - $1) <= 1e-4 * max(1, abs($1)) }
    }

    @Test("Letterbox: pixels as Pillow resizes and pads, in the middle and in the corner; boxes go with them")
    func letterbox() throws {
        let folder = try images()
        try folder.write("c.json", coco)
        try Python.run(
            """
            from PIL import Image
            for name, h, w in [('a.jpg', 100, 60), ('b.png', 33, 70), ('c.png', 64, 96)]:
                im = Image.open(f'{args[0]}/img/{name}').convert('RGB')
                for anchor in ['center', 'corner']:
                    r = min(64 / h, 96 / w)
                    nh, nw = (round(h * r), round(w * r)) if anchor == 'center' else (int(h * r), int(w * r))
                    top, left = ((64 - nh) // 2, (96 - nw) // 2) if anchor == 'center' else (0, 0)
                    out = np.full((64, 96, 3), 114, 'u1')
                    out[top:top + nh, left:left + nw] = np.asarray(im.resize((nw, nh), Image.BILINEAR))
                    out.transpose(2, 0, 1).astype('f4').tofile(f'{args[0]}/{name}.{anchor}')
            """, folder.path)
        for anchor in ["center", "corner"] {
            let dataset = try open(folder, preprocessing: "{resize: {letterbox: [64, 96], fill: 114, anchor: \(anchor)}}")
            let values = try dataset.validation.prepared(.file).floats()
            for (index, name) in ["a.jpg", "b.png", "c.png"].enumerated() {
                let expected = try Python.floats("\(folder.path)/\(name).\(anchor)")
                let worst = zip(values[index * 3 * 64 * 96..<(index + 1) * 3 * 64 * 96], expected).map { abs($0 - $1) }.max() ?? 0
                // JPEG decoders differ by a level or two.
                #expect(worst <= (name.hasSuffix("jpg") ? 2 : 0), "\(name) \(anchor): \(worst)")
            }
            // a.jpg: 64/100, 38 pixels wide, 29 to the left in the middle.
            let left: Float = anchor == "center" ? 29 : 0
            let box = try boxes(dataset)[0][0]
            #expect(isClose(box, TrueBox(category: 1, left: left + 10 * 38 / 60, top: 13.12, right: left + 40 * 38 / 60, bottom: 38.72, area: 900.5 * 0.64 * 38 / 60)), "\(box)")
        }
    }

    @Test(
        "COCO: what is wrong is said with its place",
        arguments: [
            ("\"a.jpg\"", "\"gone.jpg\"", "img/gone.jpg: no such file; "), ("\"image_id\": 5", "\"image_id\": 6", "annotations[2]: no image with id 6"),
            ("\"category_id\": 18", "\"category_id\": 19", "annotations[0]: no category with id 19"),
            ("[10, 20.5, 30, 40]", "[10, 20.5, 30]", "annotations[0]: bbox: 3 numbers, expected [left"),
            ("[10, 20.5, 30, 40]", "[10, 20.5, -30, 40]", "annotations[0]: bbox: width -30, expected 0 or more"),
            ("[10, 20.5, 30, 40]", "[10, 20.5, 30, -4.5]", "bbox: height -4.5"), ("[10, 20.5, 30, 40]", "[10, 20.5, 1e300, 40]", "annotations[0]: bbox: 1e+300, expected pixels"),
            ("[10, 20.5, 30, 40]", "[10, \"x\", 30, 40]", "annotations[0].bbox[1]: not of the expected type"), ("\"id\": 9", "\"id\": 7", "two images with id 7"),
            ("\"id\": 18", "\"id\": 3", "two categories with id 3"), ("\"name\": \"dog\"", "\"name\": \"car\"", "two categories named 'car'"),
            ("\"file_name\": \"b.png\"", "\"name\": \"b.png\"", "images[1]: 'file_name' is missing"), ("\"annotations\"", "\"notes\"", "'annotations' is missing; expected COCO"),
            ("]}", "]", "not valid JSON"), ("\"a.jpg\"", "\"a\\u0000.jpg\"", "no such file"),
        ])
    func errors(original: String, replacement: String, expected: String) throws {
        let folder = try images()
        try #require(coco.contains(original))
        try folder.write("c.json", coco.replacingOccurrences(of: original, with: replacement))
        let text = message { _ = try open(folder) }
        #expect(text.contains(expected), "\(text)")
    }

    @Test("YOLO: center and size, outlines, images without a file; what is wrong names the line")
    func yolo() throws {
        let folder = try images()
        try folder.write("txt/a.txt", "1 0.5 0.5 0.5 0.25\n0 0.1 0.2 0.3 0.4 0.2 0.9\n\n")
        try folder.write("txt/c.txt", "")
        let yaml = try folder.write("d.yaml", "format: yolo\nclasses: [car, dog]\nsource: {labels: txt, folder: img}\nfractions: {validation: 1}\n")
        let dataset = try DatasetLoader.open(path: yaml, inputs: [input])
        let found = try boxes(dataset)
        try #require(found.map(\.count) == [2, 0, 0])
        #expect(isClose(found[0][0], TrueBox(category: 1, left: 24, top: 24, right: 72, bottom: 40)))
        #expect(isClose(found[0][1], TrueBox(category: 0, left: 9.6, top: 12.8, right: 28.8, bottom: 57.6)))
        for (text, expected) in [
            ("2 0.5 0.5 0.5 0.5", "txt/a.txt: class 2, but there are 2 classes"), ("0 0.5 0.5 0.5", "txt/a.txt:1: expected 'class x y width height'"),
            ("0 0.5 0.5 0.5 nan", "txt/a.txt:1: expected"), ("-1 0.5 0.5 0.5 0.5", "txt/a.txt:1: expected"), ("\ncar 0.5 0.5 0.5 0.5", "txt/a.txt:2: expected"),
        ] {
            try folder.write("txt/a.txt", text)
            let text = message { _ = try boxes(dataset) }
            #expect(text.contains(expected), "\(text)")
        }
        try folder.write("d.yaml", "format: yolo\nsource: {labels: img, folder: img}\n")
        #expect(message { _ = try DatasetLoader.open(path: yaml, inputs: [input]) }.contains("no text file of an image"))
    }
}
