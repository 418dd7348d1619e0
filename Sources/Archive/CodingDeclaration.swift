import Foundation
import ModelGraph

/// How the packed archive shall code weights, kept in the model's metadata under `lathe.coding` so that packing the
/// exported ONNX file gives the same archive.
public struct CodingDeclaration: Codable, Hashable, Sendable {
    public static let metadataKey = "lathe.coding"

    /// Rules for tensors by name; tensors that no rule names are coded in whatever way is smallest.
    public struct Rule: Codable, Hashable, Sendable {
        /// Names of initializers.
        public var tensors: [String]
        /// Bits of a relative index (2…8); `nil` lets the archive take the best for each tensor.
        public var indexBits: Int?
        /// Huffman codes for values and index steps; fixed widths otherwise.
        public var huffman: Bool
        /// An `EntropyCoder` in place of what `huffman` says, which is all that older versions read.
        public var coder: String?

        public init(tensors: [String], indexBits: Int?, coder: EntropyCoder) {
            self.tensors = tensors
            self.indexBits = indexBits
            huffman = coder.allowsHuffman
            self.coder = coder == .huffman || coder == .fixed ? nil : coder.rawValue
        }

        /// Codes that the archive may use.
        public var entropyCoder: EntropyCoder { coder.flatMap(EntropyCoder.init) ?? (huffman ? .huffman : .fixed) }
    }

    public var rules: [Rule]

    public init(rules: [Rule]) { self.rules = rules }

    /// The model's declaration. Metadata that does not parse, or holds values out of range, counts as none: it only ever
    /// asks for a preference.
    public init?(_ model: Model) {
        guard let text = model.metadata[Self.metadataKey],
            let declaration = try? JSONDecoder().decode(CodingDeclaration.self, from: Data(text.utf8)),
            declaration.rules.allSatisfy({ ($0.indexBits ?? 2) >= 2 && ($0.indexBits ?? 8) <= 8 })
        else { return nil }
        self = declaration
    }

    public func write(to model: inout Model) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        model.metadata[Self.metadataKey] = String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// Rules by tensor name; a later rule wins.
    var byTensor: [String: Rule] {
        var result: [String: Rule] = [:]
        for rule in rules { for name in rule.tensors { result[name] = rule } }
        return result
    }
}
