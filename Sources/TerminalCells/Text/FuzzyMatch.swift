/// Matching as one types: the letters of the query in order, not necessarily side by side, upper and lower case alike.
public enum FuzzyMatch {
    public struct Result: Hashable, Sendable {
        /// Higher is better.
        public var score: Int
        /// Offsets (in characters of the candidate) of the matched letters.
        public var positions: [Int]
    }

    /// nil when the query does not occur. An empty query matches everything with score 0. Runs of letters and letters at the
    /// start of words score best, so that "wp" finds "weight pruning" before "show preview".
    public static func match(_ query: String, in candidate: String) -> Result? {
        let wanted = query.lowercased().filter { $0 != " " }.map { $0 }
        guard !wanted.isEmpty else { return Result(score: 0, positions: []) }
        let letters = candidate.map { Character($0.lowercased().first.map(String.init) ?? " ") }
        guard letters.count >= wanted.count else { return nil }

        func bonus(at index: Int) -> Int {
            if index == 0 { return 8 }
            return letters[index - 1].isLetter || letters[index - 1].isNumber ? 0 : 6
        }
        // best[j]: best score of the letters so far with the last of them at j; from[i][j]: where the one before was.
        var best = [Int?](repeating: nil, count: letters.count)
        var from = [[Int]](repeating: [Int](repeating: -1, count: letters.count), count: wanted.count)
        for (i, letter) in wanted.enumerated() {
            var next = [Int?](repeating: nil, count: letters.count)
            var reach: (score: Int, index: Int)?
            for j in letters.indices {
                if i > 0, j > 0, let score = best[j - 1], score > (reach?.score ?? Int.min) { reach = (score, j - 1) }
                guard letters[j] == letter else { continue }
                if i == 0 {
                    // Where it starts counts little: behind "set " no better than behind "switch on ".
                    next[j] = bonus(at: j) - min(j, 4)
                } else {
                    if let reach {
                        next[j] = reach.score + bonus(at: j)
                        from[i][j] = reach.index
                    }
                    if let neighbor = best[j - 1 >= 0 ? j - 1 : 0], j > 0, neighbor + 5 >= (next[j] ?? Int.min) {
                        next[j] = neighbor + 5
                        from[i][j] = j - 1
                    }
                }
            }
            best = next
        }
        guard let end = best.indices.filter({ best[$0] != nil }).max(by: { best[$0]! < best[$1]! }),
            let score = best[end]
        else { return nil }
        var positions = [end]
        for i in stride(from: wanted.count - 1, to: 0, by: -1) {
            positions.append(from[i][positions[positions.count - 1]])
        }
        return Result(score: score, positions: positions.reversed())
    }
}
