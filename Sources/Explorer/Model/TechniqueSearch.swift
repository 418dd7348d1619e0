import Recipes
import Techniques

/// Finds techniques by name, and by what people want of them: "smaller", "faster", "half", "int4".
enum TechniqueSearch {
    /// Techniques for a purpose, by a word that no title has.
    static let purposes: [String: [String]] = [
        "smaller": [
            "weight-quantization", "gptq", "fp16", "static-int8", "dynamic-int8", "structured-pruning", "magnitude-pruning", "svd", "activation-aware-svd", "weight-sharing",
            "codebook-quantization", "weight-tying", "tucker-2", "huffman", "range-coding",
        ],
        "faster": ["static-int8", "dynamic-int8", "structured-pruning", "svd", "activation-aware-svd", "tucker-2", "layer-removal", "early-exits", "width-multiplier"],
        "half": ["fp16", "bf16"],
        "float16": ["fp16"], "int8": ["static-int8", "dynamic-int8", "weight-quantization", "smoothquant"],
        "8-bit": ["static-int8", "dynamic-int8", "weight-quantization"], "int4": ["weight-quantization", "gptq", "awq"], "4-bit": ["weight-quantization", "gptq", "awq"],
        "accuracy": ["fine-tuning", "quantization-aware-training", "bias-correction", "least-squares-reconstruction"],
        "recover": ["fine-tuning", "quantization-aware-training", "bias-correction"], "distillation": ["fine-tuning", "quantization-aware-training", "trained-exits"],
        "download": ["magnitude-pruning", "weight-sharing", "huffman", "range-coding"], "archive": ["magnitude-pruning", "weight-sharing", "huffman", "range-coding"],
        "sparse": ["magnitude-pruning", "sparsegpt", "wanda", "n-m-pruning", "block-pruning", "random-pruning"],
        "transformer": ["gptq", "awq", "smoothquant", "head-pruning", "layer-removal"], "phone": ["static-int8", "weight-quantization", "structured-pruning"],
    ]

    static func finds(_ query: String, _ descriptor: TechniqueDescriptor) -> Bool {
        let words = query.lowercased().split(separator: " ").map(String.init)
        let text = "\(descriptor.id) \(descriptor.title) \(descriptor.family.title) \(descriptor.summary)".lowercased()
        return words.allSatisfy { word in text.contains(word) || isFor(word, descriptor.id) }
    }

    static func finds(_ query: String, _ preset: RecipePreset) -> Bool {
        let words = query.lowercased().split(separator: " ").map(String.init)
        let text = "\(preset.id) \(preset.title) \(preset.summary)".lowercased()
        return words.allSatisfy { text.contains($0) }
    }

    /// Words of three letters on are completed: "small" is for "smaller".
    private static func isFor(_ word: String, _ id: String) -> Bool {
        guard word.count >= 3 else { return false }
        return purposes.contains { purpose, ids in purpose.hasPrefix(word) && ids.contains(id) }
    }
}
