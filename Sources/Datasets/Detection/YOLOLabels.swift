import EngineSupport

/// A text file of boxes for an image, as YOLO is trained with: a line has the class, then center and size, or the corners of an outline,
/// all from 0 to 1.
enum YOLOLabels {
    struct Box {
        var category: Int
        /// From 0 to 1 of the image's width and height.
        var left, top, right, bottom: Double
    }

    /// - Throws: `EngineError` in one line naming the line.
    static func read(path: String) throws -> [Box] {
        // An image without objects has an empty file or none.
        guard InputFile.exists(path) else { return [] }
        let lines = try TextTargets.lines(path: path)
        guard lines.count <= DataLimits.boxes else { throw EngineError(.data, "\(path): \(lines.count) lines, at most \(DataLimits.boxes) are read") }
        var boxes: [Box] = []
        for (index, line) in lines.enumerated() {
            let fields = line.split { $0 == " " || $0 == "\t" }
            guard !fields.isEmpty else { continue }
            let numbers = fields.dropFirst().compactMap { Double($0) }.filter { $0.isFinite && abs($0) < 1e6 }
            // Some tools write classes as 3.0.
            guard let category = fields.first.flatMap({ Double($0) }).flatMap({ Int(exactly: $0) }), (0...1_000_000).contains(category), numbers.count == fields.count - 1,
                numbers.count == 4 || numbers.count >= 6 && numbers.count.isMultiple(of: 2)
            else {
                throw EngineError(.data, "\(path):\(index + 1): expected 'class x y width height' from 0 to 1, or 'class x y x y x y …', found '\(line.prefix(60))'")
            }
            if numbers.count == 4 {
                let (x, y, width, height) = (numbers[0], numbers[1], numbers[2], numbers[3])
                boxes.append(Box(category: category, left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2))
            } else {
                let x = stride(from: 0, to: numbers.count, by: 2).map { numbers[$0] }
                let y = stride(from: 1, to: numbers.count, by: 2).map { numbers[$0] }
                boxes.append(Box(category: category, left: x.min() ?? 0, top: y.min() ?? 0, right: x.max() ?? 0, bottom: y.max() ?? 0))
            }
        }
        return boxes
    }
}
