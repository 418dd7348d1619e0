import EngineSupport
import Foundation
import ModelGraph

/// What a model was made from, by which recipe, and what that came to, kept in the model's metadata under `lathe.record`: so that a file found
/// somewhere says where it comes from.
public struct ModelRecord: Codable, Sendable, Equatable {
    public static let metadataKey = "lathe.record"
    private static let schema = "lathe.record/1"

    /// One recipe that was applied.
    public struct Making: Codable, Sendable, Equatable {
        /// File name and content hash of the model it was applied to.
        public var model: String
        public var modelHash: String
        /// As YAML; read again by `Recipe.parse`.
        public var recipe: String
        /// The program and its version.
        public var program: String
        /// Before and after the recipe, by the measure's id. Sizes are without this record.
        public var figures: [String: [Double]]

        public init(model: String, modelHash: String, recipe: String, program: String, figures: [String: [Double]]) {
            (self.model, self.modelHash, self.recipe, self.program, self.figures) = (model, modelHash, recipe, program, figures)
        }
    }

    private var schema = ModelRecord.schema
    /// In order; the last one made the file.
    public var makings: [Making]

    public init(makings: [Making]) { self.makings = makings }

    /// The record of a model; `nil` if it has none, or one that this version does not read.
    public init?(_ model: Model) {
        guard let text = model.metadata[Self.metadataKey], let read = try? JSONDecoder().decode(Self.self, from: Data(text.utf8)),
            read.schema == Self.schema, !read.makings.isEmpty
        else { return nil }
        self = read
    }

    /// Puts it into a model's metadata.
    /// - Throws: if it cannot be encoded.
    public func write(into model: inout Model) throws {
        let encoder = JSONEncoder()
        // Keys in order: the same record is the same bytes.
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        model.metadata[Self.metadataKey] = String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
