// How large a model is. The sizes answer different questions and are never mixed.
extension Measure {
    public static let file = size(
        "file", name: "ONNX file", explanation: "Bytes of the ONNX file that export writes. Zeros in a dense tensor make it no smaller; the step sparse-storage leaves them out.",
        documentKey: "serialized", storedKey: "serializedBytes"
    ) { $0.serializedBytes }

    public static let packed = size(
        "packed", name: "packed archive", shortTitle: "Archive", explanation: "Bytes of lathe's archive: sparse indices, codebooks and code tables counted.",
        documentKey: "packed", storedKey: "packedBytes"
    ) { $0.packedBytes }

    public static let gzip = size(
        "gzip", name: "gzip", explanation: "Bytes of the ONNX file after gzip: what a compressed transfer sends.", documentKey: "transfer", storedKey: "transferBytes"
    ) { $0.transferBytes }

    public static let encoding = size(
        "encoding", name: "theoretical encoding", shortTitle: "Encoding",
        explanation: "Bits that the techniques' encodings need in theory, in bytes. No file of this size exists.", documentKey: "theoretical",
        storedKey: "theoreticalBytes"
    ) { $0.theoreticalBytes }

    public static let parameters = Measure(
        "parameters", name: "parameters", shortTitle: "Params", explanation: "Trainable parameters stored, zeros included.", unit: "1", format: .count,
        comparison: .ratio(less: "fewer", more: "more"), documentKey: ["parameters"], source: .figures { $0.parameters })

    public static let nonZeros = Measure(
        "non-zeros", name: "non-zeros", explanation: "Parameters that are not zero.", unit: "1", format: .count, comparison: .ratio(less: "fewer", more: "more"),
        documentKey: ["nonZeros"], source: .figures { $0.nonZeros })

    public static let sparsity = Measure(
        "sparsity", name: "sparsity", explanation: "Share of the parameters that are zero.", unit: "1", format: .percent(digits: 1), direction: .neither, range: 0...1,
        scale: 0...1, resolution: 0.01, comparison: .points, place: .document, documentKey: ["sparsity"],
        source: .figures { figures in
            Figure(figures.parameters.value > 0 ? 1 - figures.nonZeros.value / figures.parameters.value : 0, figures.nonZeros.provenance)
        })

    private static func size(
        _ id: String, name: String, shortTitle: String? = nil, explanation: String, documentKey: String, storedKey: String,
        _ read: @escaping @Sendable (ModelFigures) -> Figure?
    ) -> Measure {
        Measure(
            id, name: name, shortTitle: shortTitle, explanation: explanation, unit: "byte", format: .bytes, comparison: .ratio(less: "smaller", more: "larger"),
            documentKey: ["sizes", documentKey], storedKey: storedKey, source: .figures(read))
    }
}
