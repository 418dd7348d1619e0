import Foundation
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Damaged and hostile files")
struct HostileFileTests {
    @Test(
        "IDX: what the header claims is checked before memory is asked for",
        arguments: [
            ([1, 2, 3, 4, 0, 0], "not an IDX file"), ([0, 0, 8], "ends within the IDX header"), (idx([3, 2], [1, 2, 3, 4, 5]), "bytes; the file has"),
            (idx([3, 2], [1, 2, 3, 4, 5, 6, 7]), "bytes; the file has"), (idx([0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF], []), "larger than 8 GiB"),
            (idx([9, 9, 9, 9, 9, 9, 9, 9, 9], []), "9 dimensions"), ([0, 0, 8, 0], "not an IDX file"), ([0, 0, 0x0A, 1, 0, 0, 0, 0], "not an IDX file"),
            ([], "ends within"),
        ] as [([UInt8], String)])
    func idxHeaders(bytes: [UInt8], expected: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x-idx", bytes)
        let text = message { _ = try IDXFile(path: path).decode() }
        #expect(text.contains(expected) && text.contains("x-idx"), "\(text)")
    }

    @Test("IDX types and byte order, as NumPy reads them")
    func idxTypes() throws {
        let folder = try TemporaryFolder()
        for (code, bytes, expected) in [
            (0x09, [0xFF, 2], [-1, 2]), (0x0B, [0xFF, 0xFE, 1, 0], [-2, 256]), (0x0C, [0, 0, 1, 0, 0xFF, 0xFF, 0xFF, 0xFF], [256, -1]),
            (0x0D, [0x40, 0x40, 0, 0, 0xC1, 0x20, 0, 0], [3, -10]), (0x0E, [0x40, 8, 0, 0, 0, 0, 0, 0, 0xC0, 0x24, 0, 0, 0, 0, 0, 0], [3, -10]),
        ] as [(UInt8, [UInt8], [Int])] {
            let array = try IDXFile(path: folder.write("t", idx([2], bytes, type: code))).decode()
            #expect(ElementConversion.wholeNumbers(array) == expected)
        }
    }

    @Test("Gzip: truncated, damaged, overlong, and a bomb")
    func gzip() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import gzip, struct
            data = struct.pack('>HBBII', 0, 8, 2, 100, 100) + np.random.default_rng(1).integers(0, 256, 10000, dtype='u1').tobytes()
            good = gzip.compress(data)
            files = {'good': good, 'cut': good[:len(good) // 2], 'tail': good[:-6], 'longer': gzip.compress(data + b'x'),
                     'shorter': gzip.compress(data[:-1]), 'crc': good[:-8] + bytes([good[-8] ^ 1]) + good[-7:],
                     'bomb': gzip.compress(struct.pack('>HBBII', 0, 8, 2, 1 << 20, 1 << 12)),
                     'huge': gzip.compress(struct.pack('>HBBII', 0, 8, 2, 1 << 31, 1 << 31))}
            for name, content in files.items(): open(f'{args[0]}/{name}', 'wb').write(content)
            """, folder.path)
        #expect(try IDXFile(path: folder.path + "/good").decode().shape == [100, 100])
        for (name, expected) in [
            ("cut", "ends too early"), ("tail", "ends too early"), ("longer", "more data than"), ("shorter", "ends after 9999 of 10000"),
            ("crc", "damaged gzip data"), ("bomb", "more than"), ("huge", "larger than 8 GiB"),
        ] {
            let text = message { _ = try IDXFile(path: "\(folder.path)/\(name)").decode() }
            #expect(text.contains(expected) && text.contains(name), "\(name): \(text)")
        }
    }

    @Test("NPZ: headers that lie, damaged data, and archives without arrays")
    func npz() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import io, zipfile
            def npy(header, data=b'', version=1):
                text = header.encode() + b'\\n'
                return b'\\x93NUMPY' + bytes([version, 0]) + len(text).to_bytes(2, 'little') + text + data
            def archive(name, files, method=zipfile.ZIP_DEFLATED):
                with zipfile.ZipFile(f'{args[0]}/{name}.npz', 'w', method) as z:
                    for n, c in files.items(): z.writestr(n, c)
            h = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
            archive('claims', {'x.npy': npy(h % '1000, 1000')})
            archive('overflow', {'x.npy': npy(h % '4294967296, 4294967296, 4294967296')})
            archive('negative', {'x.npy': npy(h % '-1, 4')})
            archive('key', {'x.npy': npy("{'descr': '<f4', 'shape': (1,)}", b'1234')})
            archive('evil', {'x.npy': npy("{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (1,)}", b'1234')})
            archive('version', {'x.npy': npy(h % '1,', b'1234', version=9)})
            archive('magic', {'x.npy': b'not an array at all'})
            archive('short', {'x.npy': b'\\x93NUM'})
            archive('none', {'readme.txt': b'hello'})
            archive('bomb', {'x.npy': npy(h % f'{1 << 20}, 1', bytes(4 << 20))})
            buffer = io.BytesIO(); np.savez(buffer, x=np.arange(1000))
            good = bytearray(buffer.getvalue()); good[600] ^= 255
            open(args[0] + '/crc.npz', 'wb').write(good)
            open(args[0] + '/cut.npz', 'wb').write(good[:700])
            open(args[0] + '/text.npz', 'w').write('hello')
            """, folder.path)
        for (name, expected) in [
            ("claims", "the archive has"), ("overflow", "larger than 8 GiB"), ("negative", "malformed NumPy header"),
            ("key", "malformed NumPy header"), ("evil", "malformed NumPy header"), ("version", "version 9"), ("magic", "not a NumPy array"),
            ("short", "ends within"), ("none", "no NumPy arrays"), ("crc", "damaged"), ("cut", "not a readable .npz"),
            ("text", "not a readable .npz"),
        ] {
            let text = message { _ = try NumPyFile(path: "\(folder.path)/\(name).npz").decode("x") }
            #expect(text.contains(expected) && text.contains(name), "\(name): \(text)")
        }
        // Highly compressible is not hostile: 4 MiB of zeros at about 1000 : 1.
        #expect(try NumPyFile(path: folder.path + "/bomb.npz").decode("x").shape == [1 << 20, 1])
    }

    @Test("Thousands of random damages never crash: each gives data or a one-line error")
    func mutations() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import gzip, struct
            from PIL import Image
            r = np.random.default_rng(2)
            a = r.integers(0, 256, (12, 6, 5, 3), dtype='u1')
            np.savez(args[0] + '/a.npz', x=a, labels=np.arange(12) % 4)
            np.savez_compressed(args[0] + '/b.npz', x=np.asfortranarray(a.astype('>f2')), labels=np.arange(12) % 4)
            np.save(args[0] + '/c.npy', a.astype('f4'))
            open(args[0] + '/d-idx', 'wb').write(struct.pack('>HBB4I', 0, 8, 4, 12, 6, 5, 3) + a.tobytes())
            open(args[0] + '/e-idx', 'wb').write(gzip.compress(struct.pack('>HBB4I', 0, 8, 4, 12, 6, 5, 3) + a.tobytes()))
            big = Image.fromarray(r.integers(0, 256, (20, 20, 3), dtype='u1'))
            big.save(args[0] + '/f.png'); big.save(args[0] + '/g.jpg'); big.save(args[0] + '/h.jpg', progressive=True)
            big.convert('P').save(args[0] + '/i.png')
            open(args[0] + '/j.csv', 'w').write('a,b,label\\n' + ''.join(f'{i},{i * 2.5},{i % 3}\\n' for i in range(20)))
            open(args[0] + '/k.yaml', 'w').write(open(args[1]).read())
            """, folder.path, Repository.root + "/SampleModels/data/fashion-mnist.yaml")
        var generator = SeededGenerator(seed: 21)
        for name in try SampleFolder.list(folder.path) {
            let original = try InputFile.read("\(folder.path)/\(name)")
            let ending = name.split(separator: ".").last.map(String.init) ?? ""
            for _ in 0..<300 {
                var bytes = original
                if generator.below(3) == 0 { bytes.removeLast(generator.below(bytes.count)) }
                // Headers are where damage matters most.
                let reach = generator.below(2) == 0 ? min(bytes.count, 128) : bytes.count
                for _ in 0...generator.below(4) where reach > 0 { bytes[generator.below(reach)] = UInt8(generator.below(256)) }
                let path = try folder.write("mutant." + ending, bytes)
                do {
                    switch ending {
                    case "npz", "npy", "csv", "yaml":
                        let dataset = try DatasetLoader.open(path: path, inputNames: ["x"])
                        try dataset.validation.prepared().prepareAll()
                        _ = try dataset.validation.contentHash
                    case "png", "jpg": _ = try ImageDecoding.decode(path: path)
                    default: _ = try IDXFile(path: path).decode()
                    }
                } catch let error as EngineError {
                    #expect(!error.message.isEmpty && !error.message.contains("\n"))
                }
            }
        }
    }
}
