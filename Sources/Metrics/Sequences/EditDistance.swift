/// Levenshtein's distance: the fewest insertions, deletions and replacements that make one sequence of the other.
enum EditDistance {
    static func between<Element: Hashable>(_ one: [Element], _ other: [Element]) -> Int {
        // Numbers compare faster than words.
        var numbers: [Element: Int32] = [:]
        func number(_ element: Element) -> Int32 {
            if let known = numbers[element] { return known }
            let next = Int32(numbers.count)
            numbers[element] = next
            return next
        }
        return distance(one.map(number), other.map(number))
    }

    private static func distance(_ one: [Int32], _ other: [Int32]) -> Int {
        if one.isEmpty || other.isEmpty { return max(one.count, other.count) }
        // The row of distances from a beginning of `one` to every beginning of `other`.
        var row = (0...other.count).map { Int32($0) }
        row.withUnsafeMutableBufferPointer { row in
            other.withUnsafeBufferPointer { other in
                for (index, element) in one.enumerated() {
                    var diagonal = row[0]
                    row[0] = Int32(index + 1)
                    for place in other.indices {
                        let replaced = diagonal + (other[place] == element ? 0 : 1)
                        diagonal = row[place + 1]
                        row[place + 1] = min(replaced, min(diagonal, row[place]) + 1)
                    }
                }
            }
        }
        return Int(row[other.count])
    }
}
