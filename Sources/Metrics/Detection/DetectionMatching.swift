/// Which detections of an image find an object, at each of COCO's ten overlaps, as COCOeval matches them: strongest first, each to the object it
/// overlaps most among those left; a crowd takes any number and they do not count then.
enum DetectionMatching {
    /// Intersections over unions, 0.50 to 0.95.
    static let overlaps: [Double] = {
        // As NumPy's linspace computes them.
        let step = (0.95 - 0.5) / 9
        return (0..<10).map { $0 == 9 ? 0.95 : Double($0) * step + 0.5 }
    }()

    /// Of one image.
    /// - Parameters:
    ///   - detections: in the order the model gives them, which decides between equal scores.
    ///   - perClass: the strongest that count.
    /// - Returns: number of categories with objects; category and number of objects that are no crowds of each; then for each detection category,
    ///   score, and bits: found at overlap i: bit i; does not count at overlap i: bit 10 + i.
    static func contribution(_ detections: [Detection], _ truth: [TrueBox], perClass: Int) -> [Double] {
        var found: [Int: [Detection]] = [:]
        for detection in detections where detection.isFinite { found[detection.category, default: []].append(detection) }
        var objects: [Int: [TrueBox]] = [:]
        for box in truth { objects[box.category, default: []].append(box) }
        let present = objects.keys.sorted()
        var result = [Double(present.count)]
        for category in present { result += [Double(category), Double((objects[category] ?? []).count { !$0.isCrowd })] }
        for category in found.keys.sorted() {
            let strongest = Suppression.strongest(found[category] ?? [], perClass)
            // Those that count come first, which COCOeval's stable sort does.
            let all = objects[category] ?? []
            let bits = match(strongest, all.filter { !$0.isCrowd } + all.filter(\.isCrowd))
            for (detection, bits) in zip(strongest, bits) { result += [Double(category), Double(detection.score), Double(bits)] }
        }
        return result
    }

    private static func match(_ detections: [Detection], _ objects: [TrueBox]) -> [Int] {
        var bits = [Int](repeating: 0, count: detections.count)
        // COCO leaves out what finds nothing and has an area outside all ranges, as a box with one side turned round has.
        for (row, detection) in detections.enumerated() where (detection.right - detection.left) * (detection.bottom - detection.top) < 0 {
            bits[row] = ((1 << overlaps.count) - 1) << 10
        }
        if objects.isEmpty { return bits }
        var shared = [Double](repeating: 0, count: detections.count * objects.count)
        for (row, detection) in detections.enumerated() {
            for (column, object) in objects.enumerated() { shared[row * objects.count + column] = overlap(detection, object) }
        }
        var isTaken = [Bool](repeating: false, count: objects.count)
        for (index, level) in overlaps.enumerated() {
            for column in isTaken.indices { isTaken[column] = false }
            for row in detections.indices {
                var best = min(level, 1 - 1e-10)
                var match = -1
                for (column, object) in objects.enumerated() {
                    if isTaken[column], !object.isCrowd { continue }
                    // An object that counts is not left for a crowd.
                    if match >= 0, !objects[match].isCrowd, object.isCrowd { break }
                    let value = shared[row * objects.count + column]
                    if value < best { continue }
                    best = value
                    match = column
                }
                if match < 0 { continue }
                isTaken[match] = true
                bits[row] &= ~(1 << (10 + index))
                bits[row] |= 1 << index
                if objects[match].isCrowd { bits[row] |= 1 << (10 + index) }
            }
        }
        return bits
    }

    /// Intersection over union; over the detection's area where the object is a crowd.
    private static func overlap(_ detection: Detection, _ object: TrueBox) -> Double {
        let (left, top) = (Double(detection.left), Double(detection.top))
        let (width, height) = (Double(detection.right) - left, Double(detection.bottom) - top)
        let (trueLeft, trueTop) = (Double(object.left), Double(object.top))
        let (trueWidth, trueHeight) = (Double(object.right) - trueLeft, Double(object.bottom) - trueTop)
        let across = min(left + width, trueLeft + trueWidth) - max(left, trueLeft)
        guard across > 0 else { return 0 }
        let down = min(top + height, trueTop + trueHeight) - max(top, trueTop)
        guard down > 0 else { return 0 }
        let area = across * down
        return area / (object.isCrowd ? width * height : width * height + trueWidth * trueHeight - area)
    }
}
