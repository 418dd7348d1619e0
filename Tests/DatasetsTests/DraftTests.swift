import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Drafted declarations")
struct DraftTests {
    private func material() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, json, soundfile
            from PIL import Image
            r = np.random.default_rng(2)
            base = args[0]
            for name in ['it\\'s: classes/cat', 'it\\'s: classes/dog', 'flat', 'masks', 'texts', 'words/yes', 'words/no', 'idx']: os.makedirs(f'{base}/{name}')
            def image(path): Image.fromarray(r.integers(0, 256, (20, 30, 3), dtype='u1')).save(f'{base}/{path}')
            for i in range(12):
                image(f"it's: classes/{['cat', 'dog'][i % 2]}/{i}.png"); image(f'flat/{i}.png')
                Image.fromarray(r.integers(0, 3, (20, 30), dtype='u1')).save(f'{base}/masks/{i}.png')
                open(f'{base}/texts/{i}.txt', 'w').write('0 0.5 0.5 0.5 0.5')
                soundfile.write(f"{base}/words/{['yes', 'no'][i % 2]}/{i}.wav", r.standard_normal(4000) * 0.1, 8000)
            import shutil
            shutil.copytree(f'{base}/flat', f'{base}/x2'); shutil.copytree(f'{base}/masks', f'{base}/x1')
            open(f'{base}/words.tsv', 'w').write(''.join(f'{i}.png\\tword {i}\\n' for i in range(12)))
            open(f'{base}/ages.csv', 'w').write('file,age\\n' + ''.join(f'flat/{i}.png,{i}\\n' for i in range(12)))
            open(f'{base}/decimals.csv', 'w').write('file,label\\n' + ''.join(f'flat/{i}.png,{i}.25\\n' for i in range(12)))
            open(f'{base}/labels.csv', 'w').write('file,a,b\\n' + ''.join(f'flat/{i}.png,{i % 2},{i // 6}\\n' for i in range(12)))
            open(f'{base}/prices.csv', 'w').write('a,b,target\\n' + ''.join(f'1,2,{i - 3}\\n' for i in range(12)))
            np.savez(f'{base}/odd.npz', **{'X_val data': r.standard_normal((12, 3, 16, 16)).astype('f4'), 'y.true': np.arange(12) % 2, 'other': np.arange(5)})
            np.savez(f'{base}/many.npz', x=r.standard_normal((12, 2)).astype('f4'), y=np.arange(12) % 2, ids=np.arange(12), weight=np.ones(12))
            open(f'{base}/table.csv', 'w').write('a,b,label\\n' + '1,2,0\\n3,4,1\\n' * 6)
            json.dump({'images': [{'id': i, 'file_name': f'{i}.png', 'height': 20, 'width': 30} for i in range(12)], 'categories': [{'id': 3, 'name': 'x'}],
                       'annotations': [{'image_id': 1, 'category_id': 3, 'bbox': [1, 2, 3, 4.5]}]}, open(f'{base}/c.json', 'w'))
            open(f'{base}/t.jsonl', 'w').write(''.join(json.dumps({'input_ids': [1] * (i + 1), 'labels': i % 2}) + '\\n' for i in range(12)))
            np.savez(f'{base}/d.npz', pictures=r.integers(0, 256, (12, 16, 16, 3), dtype='u1'), y=np.arange(12) % 2)
            np.save(f'{base}/x.npy', r.standard_normal((12, 2)).astype('f4')); open(f'{base}/l.txt', 'w').write('1\\n0\\n' * 6)
            def idx(a): return bytes([0, 0, 8, a.ndim]) + np.array(a.shape, '>u4').tobytes() + a.tobytes()
            open(f'{base}/idx/t10k-images-idx3-ubyte', 'wb').write(idx(r.integers(0, 256, (12, 16, 16), dtype='u1')))
            open(f'{base}/idx/t10k-labels-idx1-ubyte', 'wb').write(idx((np.arange(12) % 2).astype('u1')))
            """, folder.path)
        return folder
    }

    private static let image = ModelInputDescription(name: "x", type: .float32, shape: [nil, 3, 16, 16])

    @Test(
        "Every kind of files gives a declaration that opens, with the metric its labels suggest",
        arguments: [
            (["it's: classes"], image, "top1", Targets.Kind.label), (["words.tsv", "flat"], image, "cer", .text), (["ages.csv"], image, "mae", .numbers),
            (["decimals.csv"], image, "mae", .numbers), (["labels.csv"], image, "multilabel-map", .numbers), (["odd.npz"], image, nil, .label),
            (["prices.csv"], ModelInputDescription(name: "x", type: .float32, shape: [nil, 2]), "mae", .numbers),
            (["masks", "flat"], image, "mean-iou", .classes), (["x1", "x2"], image, "mean-iou", .classes), (["x2", "x1"], image, "mean-iou", .classes),
            (["c.json", "flat"], image, "map", .boxes), (["texts", "flat"], image, "map", .boxes),
            (["table.csv"], ModelInputDescription(name: "x", type: .float32, shape: [nil, 2]), "top1", .label),
            (["words"], ModelInputDescription(name: "x", type: .float32, shape: [nil, 1, 2000]), "top1", .label),
            (["words/"], ModelInputDescription(name: "x", type: .float32, shape: [nil, 1, 40, nil]), "top1", .label),
            (["t.jsonl"], ModelInputDescription(name: "input_ids", type: .int64, shape: [nil, nil]), "top1", .label), (["d.npz"], image, nil, .label),
            (["x.npy", "l.txt"], ModelInputDescription(name: "x", type: .float32, shape: [nil, 2]), nil, .label),
            (["idx"], ModelInputDescription(name: "x", type: .float32, shape: [nil, 1, 16, 16]), nil, .label),
            (["flat"], ModelInputDescription(name: "x", type: .uint8, shape: [nil, nil, nil, 3]), nil, nil),
        ] as [([String], ModelInputDescription, String?, Targets.Kind?)])
    func drafts(files: [String], input: ModelInputDescription, metric: String?, kind: Targets.Kind?) throws {
        let folder = try material()
        let draft = try DeclarationDraft(files: files.map { folder.file($0) }, inputs: [input], outputs: [[nil, 10]]) { String($0.dropFirst(folder.path.count + 1)) }
        #expect(draft.text.contains("#") && !draft.text.contains(folder.path))
        let path = try folder.write("draft.yaml", draft.text)
        let declaration = try DatasetDeclaration.read(path: path)
        if let metric { #expect(draft.text.contains("metric: \(metric)") && declaration.metric?.rawValue == metric, "\(draft.text)") }
        let dataset = try DatasetLoader.open(path: path, inputs: [input])
        #expect(dataset.validation.targets?.kind == kind, "\(draft.text)")
        let prepared = try dataset.validation.prepared()
        let values = try prepared.values(at: 0, input: 0)
        #expect(values.count == prepared.inputs[0].elementCount && values.contains { $0 != 0 })
        for position in 0..<prepared.count where kind != nil { _ = try prepared.target(position) }
        if input.type == .uint8 { #expect(values.allSatisfy { $0 == $0.rounded() } && values.max()! > 200) }
    }

    @Test("Arrays that could be labels and are not used are mentioned")
    func unused() throws {
        let folder = try material()
        func draft(_ file: String) throws -> String { try DeclarationDraft(files: [folder.file(file)], inputs: [Self.image], outputs: []) { $0 }.text }
        let odd = try draft("odd.npz")
        #expect(odd.contains("labels: y.true") && odd.contains("# No array is named labels: 'y.true', the only other one") && !odd.contains("'other'"), "\(odd)")
        #expect(try draft("many.npz").contains("# Not used: 'ids', 'weight'. 'labels: name' under source"))
    }

    @Test("A column of many whole numbers is a quantity where the model gives one number")
    func quantities() throws {
        let folder = try material()
        let table = try folder.write("t.csv", "a,b,label\n" + (0..<40).map { "1,2,\($0)\n" }.joined())
        func draft(_ outputs: Int) throws -> String { try DeclarationDraft(files: [table], inputs: [Self.image], outputs: [[nil, outputs]]) { $0 }.text }
        #expect(try draft(1).contains("metric: mae  # 40 different whole numbers"))
        #expect(try draft(40).contains("metric: top1"))
    }

    @Test("What there is no telling about is said")
    func refused() throws {
        let folder = try material()
        func failing(_ files: String...) -> String {
            message { _ = try DeclarationDraft(files: files.map { folder.file($0) }, inputs: [Self.image], outputs: []) { $0 } }
        }
        #expect(failing("gone").contains("gone: no such file or folder"))
        #expect(failing("c.json").contains("COCO's annotations need the folder of their images"))
        #expect(failing("words/yes/0.wav").contains("0.wav: expected .npz"))
        #expect(failing("table.csv", "flat").contains("lists no files"))
        #expect(failing("flat", "masks", "texts").contains("no telling what these are together"))
    }
}
