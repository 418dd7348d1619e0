import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// Files that people take for ONNX models are called what they are.
@Suite struct ForeignFormatTests {
    private func message(_ bytes: [UInt8]) throws -> String {
        let folder = try TemporaryFolder()
        let file = try folder.write("model.onnx", bytes)
        let error = try #require(throws: ModelGraphError.self) { try Model.read(path: file) }
        #expect(error.message.hasPrefix(file + ": ") && !error.message.contains("\n"))
        return error.message
    }

    @Test(arguments: [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"), ("    ORTM        ", "ONNX Runtime's own format"),
        ("    TFL3    ", "TensorFlow Lite"), ("PK\u{3}\u{4}archive/data.pkl", "ZIP archive"), ("<!DOCTYPE html><html>404", "a web page"), ("GGUF    ", "GGUF"),
    ])
    func begins(_ text: String, with words: String) throws { #expect(try message(Array(text.utf8)).contains(words)) }

    /// What Python writes, not our idea of it.
    @Test(arguments: [
        ("import gzip; gzip.open(sys.argv[1], 'wb').write(b'hello')", "gzip"), ("np.save(open(sys.argv[1], 'wb'), np.zeros(3))", "NumPy"),
        ("np.savez(open(sys.argv[1], 'wb'), a=np.zeros(3))", "ZIP archive"), ("import pickle; pickle.dump({'weight': [1.0] * 100}, open(sys.argv[1], 'wb'), 4)", "pickle"),
        ("import lzma; open(sys.argv[1], 'wb').write(lzma.compress(b'hello'))", "xz"),
        (
            "head = b'{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}'; open(sys.argv[1], 'wb').write(len(head).to_bytes(8, 'little') + head + bytes(4))",
            "safetensors"
        ),
    ])
    func writtenByPython(_ script: String, words: String) throws {
        let folder = try TemporaryFolder()
        _ = try Python.run("import sys, numpy as np\n" + script, folder.path + "/file")
        #expect(try message(Array(Data(contentsOf: URL(fileURLWithPath: folder.path + "/file")))).contains(words))
    }

    @Test func anythingElseIsDamaged() throws { #expect(try message(Array(repeating: 0x0C, count: 40)).contains("not an ONNX model, or damaged")) }
}
