import EngineSupport
import Foundation

/// Boxes of a COCO annotation file. What else such files hold (outlines, captions, key points) is passed over.
struct COCOAnnotations: Sendable {
    struct Image: Sendable {
        var fileName: String
        /// `nil` if the file does not say.
        var height, width: Int?
        var boxes: [Box] = []
    }

    /// In pixels of the image file.
    struct Box: Sendable {
        var category: Int
        var left, top, width, height: Double
        var area: Double?
        var isCrowd: Bool
    }

    struct Category: Sendable {
        var id: Int
        var name: String
    }

    let path: String
    /// In the file's order.
    let images: [Image]
    /// By id.
    let categories: [Category]

    /// - Throws: `EngineError` in one line naming the file and the place in it.
    init(path: String) throws {
        self.path = path
        let bytes = try InputFile.read(path, limit: DataLimits.annotationBytes)
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw EngineError(.data, "\(path): \(JSONProblem.text(error, expected: "COCO annotations with images, annotations and categories"))")
        } catch {
            throw EngineError(.data, "\(path): not valid JSON")
        }
        categories = file.categories.map { Category(id: $0.id, name: $0.name ?? "\($0.id)") }.sorted { $0.id < $1.id }
        for (index, category) in categories.enumerated().dropFirst() where categories[index - 1].id == category.id {
            throw EngineError(.data, "\(path): two categories with id \(category.id)")
        }
        let known = Set(categories.map(\.id))
        var images = file.images.map { Image(fileName: $0.fileName, height: $0.height, width: $0.width) }
        var places: [Key: Int] = [:]
        for (index, image) in file.images.enumerated() {
            guard places.updateValue(index, forKey: image.id) == nil else { throw EngineError(.data, "\(path): two images with id \(image.id.text)") }
        }
        for (index, annotation) in file.annotations.enumerated() {
            guard let box = annotation.bbox else { continue }
            guard let image = places[annotation.imageID] else {
                throw EngineError(.data, "\(path): annotations[\(index)]: no image with id \(annotation.imageID.text)")
            }
            guard known.contains(annotation.categoryID) else {
                throw EngineError(.data, "\(path): annotations[\(index)]: no category with id \(annotation.categoryID)")
            }
            func fail(_ text: String) -> EngineError { EngineError(.data, "\(path): annotations[\(index)]: bbox: \(text)") }
            guard box.count == 4 else { throw fail("\(box.count) numbers, expected [left, top, width, height]") }
            if let odd = box.first(where: { !($0.isFinite && abs($0) < 1e9) }) { throw fail("\(odd), expected pixels") }
            for (side, length) in [("width", box[2]), ("height", box[3])] where length < 0 {
                throw fail("\(side) \(length == length.rounded() ? "\(Int(length))" : "\(length)"), expected 0 or more in [left, top, width, height]")
            }
            images[image].boxes.append(
                Box(
                    category: annotation.categoryID, left: box[0], top: box[1], width: box[2], height: box[3],
                    area: annotation.area.flatMap { $0.isFinite && $0 > 0 ? $0 : nil }, isCrowd: annotation.iscrowd?.isTrue ?? false))
        }
        self.images = images
    }

    // MARK: The file

    private struct File: Decodable {
        var images: [ImageEntry]
        var annotations: [Annotation]
        var categories: [CategoryEntry]
    }

    private struct ImageEntry: Decodable {
        var id: Key
        var fileName: String
        var height: Int?
        var width: Int?

        private enum CodingKeys: String, CodingKey {
            case id, height, width
            case fileName = "file_name"
        }
    }

    private struct Annotation: Decodable {
        var imageID: Key
        var categoryID: Int
        var bbox: [Double]?
        var area: Double?
        var iscrowd: Flag?

        private enum CodingKeys: String, CodingKey {
            case bbox, area, iscrowd
            case imageID = "image_id"
            case categoryID = "category_id"
        }
    }

    private struct CategoryEntry: Decodable {
        var id: Int
        var name: String?
    }

    /// Numbers as a rule, text in some sets.
    private enum Key: Decodable, Hashable {
        case number(Int)
        case text(String)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            self = if let number = try? container.decode(Int.self) { .number(number) } else { .text(try container.decode(String.self)) }
        }

        var text: String {
            switch self {
            case .number(let number): "\(number)"
            case .text(let text): "'\(text.prefix(40))'"
            }
        }
    }

    /// 0 and 1 as a rule, false and true in some sets.
    private struct Flag: Decodable {
        var isTrue: Bool

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            isTrue = if let number = try? container.decode(Int.self) { number != 0 } else { try container.decode(Bool.self) }
        }
    }
}

/// What is wrong with JSON, in one line.
enum JSONProblem {
    static func text(_ error: DecodingError, expected: String) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
            return path.isEmpty ? "" : "\(path.drop { $0 == "." }): ".replacingOccurrences(of: "\n", with: " ")
        }
        return switch error {
        case .keyNotFound(let key, let context): "\(place(context))'\(key.stringValue)' is missing; expected \(expected)"
        case .typeMismatch(_, let context), .valueNotFound(_, let context): "\(place(context))not of the expected type; expected \(expected)"
        case .dataCorrupted(let context) where context.codingPath.isEmpty: "not valid JSON"
        case .dataCorrupted(let context): "\(place(context))not a usable value"
        @unknown default: "not as expected: \(expected)"
        }
    }
}
