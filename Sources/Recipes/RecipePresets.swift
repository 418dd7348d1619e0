import EngineSupport

/// A recipe that comes with the program and fits any model: steps that do not apply to a model are passed over.
///
/// The same recipes stand as files in `SampleModels/recipes/`, to be copied and changed.
public struct RecipePreset: Sendable, Identifiable {
    /// Behind `preset:` on the command line, and the file's name.
    public let id: String
    /// The recipe file.
    public let yaml: String

    /// For people.
    public var title: String { (try? recipe().name) ?? id }
    /// What it is for: the file's first lines.
    public var summary: String {
        yaml.split(separator: "\n").prefix { $0.hasPrefix("#") }.map { $0.drop { $0 == "#" || $0 == " " } }.joined(separator: " ")
    }

    public func recipe() throws(EngineError) -> Recipe { try Recipe.parse(yaml, file: "preset:\(id)") }

    /// The preset that `preset:NAME` names; `nil` if the text is no such name.
    /// - Throws: `EngineError` that lists the presets, if there is none of that name.
    static func named(in text: String) throws(EngineError) -> RecipePreset? {
        guard text.hasPrefix(prefix) else { return nil }
        let id = text.dropFirst(prefix.count)
        guard let preset = all.first(where: { $0.id == id }) else {
            throw EngineError(.recipe, "there is no preset '\(id)', expected one of \(all.map(\.id).joined(separator: ", "))")
        }
        return preset
    }

    public static let prefix = "preset:"

    public static let all: [RecipePreset] = [fastest, smallest, int8, fourBit, deepCompression, retrained]

    private static let deepCompression = RecipePreset(
        id: "deep-compression",
        yaml: """
            # The three stages of Deep Compression (Han, Mao and Dally, ICLR 2016): pruning by magnitude, weight sharing by k-means, Huffman coding.
            # Without retraining, a network tolerates far less sparsity than the paper's; with retraining, raise `sparsity` to 0.9. The ONNX file leaves zeros out
            # and shares values too; the packed archive is smaller still.
            lathe: 1
            name: "Deep Compression"
            steps:
              - technique: magnitude-pruning
                optional: true
                parameters:
                  scope: lamp
                  sparsity: 0.3
              - technique: weight-sharing
                optional: true
                parameters:
                  bits: 5
                  method: lloyd
                overrides:
                  - layers: [{kind: conv}]
                    parameters:
                      bits: 8
              - technique: sparse-storage
                optional: true
              - technique: huffman
                optional: true

            """)

    private static let retrained = RecipePreset(
        id: "deep-compression-retrained",
        yaml: """
            # Deep Compression as in the paper (Han, Mao and Dally, ICLR 2016): two rounds of pruning and retraining, weight sharing whose values
            # are then trained too, Huffman coding. The ONNX file leaves zeros out and shares values as well. Needs a train split and time; images are shifted by
            # up to a pixel while it trains.
            lathe: 1
            name: "Deep Compression, retrained"
            steps:
              - technique: magnitude-pruning
                optional: true
                parameters:
                  sparsity: 0.8
              - technique: fine-tuning
                optional: true
                parameters:
                  epochs: 6
                  learning-rate: 0.002
                  shift: 1
                  weight-decay: 0
              - technique: magnitude-pruning
                optional: true
                parameters:
                  sparsity: 0.92
              - technique: fine-tuning
                optional: true
                parameters:
                  epochs: 12
                  learning-rate: 0.002
                  shift: 1
                  weight-decay: 0
              - technique: weight-sharing
                optional: true
                parameters:
                  bits: 5
                  method: lloyd
              - technique: fine-tuning
                optional: true
                parameters:
                  epochs: 4
                  learning-rate: 0.0003
                  shift: 1
                  weight-decay: 0
              - technique: sparse-storage
                optional: true
              - technique: huffman
                optional: true

            """)

    private static let int8 = RecipePreset(
        id: "int8-cpu",
        yaml: """
            # 8-bit integers for CPUs: weights and activations where the runtime has integer kernels for both, with ranges from calibration data;
            # recurrent layers with ranges found at run time. Needs data. On CPUs without VNNI set `weight-bits: 7`.
            lathe: 1
            name: "int8 for CPU"
            steps:
              - technique: static-int8
                optional: true
                layers: [{kind: conv}, {kind: convTranspose}, {kind: gemm}, {kind: matMul}, {kind: embedding}]
              - technique: dynamic-int8
                optional: true
                layers: [{kind: lstm}]

            """)

    private static let fourBit = RecipePreset(
        id: "4-bit-transformer",
        yaml: """
            # 4-bit weights in groups of 32 for the matrix products of transformers, rounded by GPTQ on calibration data and run by ONNX Runtime's
            # MatMulNBits; embeddings in 8 bits. Needs data. Convolutions and recurrent layers stay as they are.
            lathe: 1
            name: "4-bit weights for transformers"
            steps:
              - technique: gptq
                optional: true
                parameters:
                  bits: 4
                  granularity: group
                  group-size: 32
                layers: [{kind: matMul}, {kind: gemm}]
              - technique: weight-quantization
                optional: true
                parameters:
                  bits: 8
                layers: [{kind: embedding}]

            """)

    private static let smallest = RecipePreset(
        id: "smallest-download",
        yaml: """
            # The smallest download at almost no loss without retraining: 4-bit integers rounded by GPTQ, recurrent layers and embeddings in 6 bits,
            # entropy-coded in the packed archive. Needs data.
            lathe: 1
            name: "Smallest download"
            steps:
              - technique: gptq
                optional: true
                parameters:
                  bits: 4
                layers: [{kind: conv}, {kind: convTranspose}, {kind: gemm}, {kind: matMul}]
              - technique: weight-quantization
                optional: true
                parameters:
                  bits: 6
                layers: [{kind: lstm}, {kind: gru}, {kind: rnn}, {kind: embedding}]
              - technique: huffman
                optional: true

            """)

    private static let fastest = RecipePreset(
        id: "fastest",
        yaml: """
            # Lowest mean latency on a CPU without retraining: 8-bit integers, then early exits for samples that do not need the whole network. Needs data.
            # Latency is a mean over samples: a sample that never leaves takes a little longer than before.
            lathe: 1
            name: "Fastest"
            steps:
              - technique: static-int8
                optional: true
                layers: [{kind: conv}, {kind: convTranspose}, {kind: gemm}, {kind: matMul}, {kind: embedding}]
              - technique: dynamic-int8
                optional: true
                layers: [{kind: lstm}]
              - technique: early-exits
                optional: true

            """)
}
