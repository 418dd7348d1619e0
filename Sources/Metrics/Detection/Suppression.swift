/// Non-maximum suppression, class by class: of detections that overlap much the strongest stays.
enum Suppression {
    /// More than these, the strongest, are not looked at, as is the custom of detectors.
    static let candidates = 30_000

    /// - Parameters:
    ///   - overlap: intersection over union above which the weaker one goes.
    ///   - perClass: how many of a class are kept.
    /// - Returns: from the strongest; of equal scores in the order given.
    static func kept(_ detections: [Detection], overlap: Float, perClass: Int) -> [Detection] {
        let strongest = Self.strongest(detections, candidates)
        var classes: [Int: [Detection]] = [:]
        var result: [Detection] = []
        for candidate in strongest {
            let rivals = classes[candidate.category] ?? []
            if rivals.count >= perClass { continue }
            if rivals.contains(where: { intersectionOverUnion($0, candidate) > overlap }) { continue }
            classes[candidate.category, default: []].append(candidate)
            result.append(candidate)
        }
        return result
    }

    /// The strongest first.
    static func strongest(_ detections: [Detection], _ count: Int) -> [Detection] {
        let order = detections.indices.sorted { (detections[$1].score, $0) < (detections[$0].score, $1) }
        return order.prefix(count).map { detections[$0] }
    }

    private static func intersectionOverUnion(_ one: Detection, _ other: Detection) -> Float {
        let width = min(one.right, other.right) - max(one.left, other.left)
        let height = min(one.bottom, other.bottom) - max(one.top, other.top)
        guard width > 0, height > 0 else { return 0 }
        let shared = width * height
        return shared / ((one.right - one.left) * (one.bottom - one.top) + (other.right - other.left) * (other.bottom - other.top) - shared)
    }
}
