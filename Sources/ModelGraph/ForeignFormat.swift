/// What a file is that was taken for an ONNX model, by the bytes that its format begins with.
enum ForeignFormat {
    /// What the file is and what to do about it, in words for the user; `nil` if nothing known begins so.
    static func description(of bytes: UnsafeRawBufferPointer) -> String? {
        for format in formats where bytes.count >= format.offset + format.signature.count {
            if bytes[format.offset..<(format.offset + format.signature.count)].elementsEqual(format.signature) { return format.description }
        }
        // safetensors: the length of a JSON header, then the header.
        if bytes.count > 10, bytes[8] == UInt8(ascii: "{"), bytes[9] == UInt8(ascii: "\""), bytes[6] == 0, bytes[7] == 0 {
            return "weights without a network (safetensors): export the network that they belong to"
        }
        return nil
    }

    private static func format(_ signature: String, at offset: Int = 0, _ description: String) -> (offset: Int, signature: [UInt8], description: String) {
        (offset, Array(signature.utf8), description)
    }

    private static let formats: [(offset: Int, signature: [UInt8], description: String)] = [
        format("version https://git-lfs", "a pointer of Git LFS, not the file itself: 'git lfs pull' fetches it"),
        format("ORTM", at: 4, "ONNX Runtime's own format (.ort): take the ONNX file that it was made from"),
        format("TFL3", at: 4, "a TensorFlow Lite model: convert it to ONNX first"),
        format("GGUF", "a GGUF model: export it to ONNX first"),
        format("PK\u{3}\u{4}", "a ZIP archive, such as PyTorch and Keras save: unpack it, or export the network to ONNX"),
        (0, [0x1F, 0x8B], "compressed by gzip: unpack it first"),
        (0, [0x28, 0xB5, 0x2F, 0xFD], "compressed by Zstandard: unpack it first"),
        (0, [0xFD, 0x37, 0x7A, 0x58, 0x5A], "compressed by xz: unpack it first"),
        (0, [0x89, 0x48, 0x44, 0x46], "an HDF5 file, such as Keras saves: export the network to ONNX"),
        (0, [0x89, 0x4C, 0x54, 0x48], "an archive that lathe packed: 'lathe unpack' makes an ONNX file of it"),
        (0, [0x80, 0x04, 0x95], "a Python pickle: export the network to ONNX"),
        (0, [0x80, 0x02, 0x8A], "a Python pickle, such as older versions of PyTorch save: export the network to ONNX"),
        (0, [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59], "a NumPy array"),
        format("<!DOCTYPE html", "a web page: the download brought an error instead of the file"),
        format("<html", "a web page: the download brought an error instead of the file"),
        format("<?xml", "an XML file, such as OpenVINO's: take the ONNX file that it was made from"),
    ]
}
