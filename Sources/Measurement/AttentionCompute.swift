import ModelGraph

/// Multiply-accumulates of operators that multiply values with each other: attention in one node, and Einsum.
enum AttentionCompute {
    /// MACs of a fused attention: scores (queries × keys) and the weighted sum of the values. What a mask leaves out is counted, as in a graph
    /// that writes the products out.
    ///
    /// Every query meets every key, those remembered from earlier steps included: keys × (elements of the queries + elements of the output).
    /// - Parameter dims: extents of a value by name.
    /// - Returns: `nil` for other operators and unknown shapes.
    static func macs(of node: Node, dims: (String?) -> [Int]?) -> Double? {
        func count(_ dims: [Int]) -> Double { dims.reduce(1.0) { $0 * Double($1) } }
        guard let query = dims(node.input(0)), query.count >= 3, let output = dims(node.outputs.first) else { return nil }
        let isMicrosoft = node.domain == "com.microsoft"
        /// Where the past, and what comes of it, hold their keys: [batch, heads, length, width].
        let past: Int
        switch node.opType {
        case "Attention" where node.isStandard("Attention"): past = 4
        case "MultiHeadAttention" where isMicrosoft: past = 6
        case "GroupQueryAttention" where isMicrosoft: past = 3
        default: return nil
        }
        let queries: Double
        var keys: Int
        let key = dims(node.input(1))
        if query.count == 5 {
            // Queries, keys and values of [batch, length, heads, 3, width] in one.
            (queries, keys) = (count(query) / 3, query[1])
        } else if let key {
            queries = count(query)
            // [batch, heads, length, width] or [batch, length, …].
            keys = key.count == 4 ? key[2] : key[1]
        } else {
            // One value of all queries, keys and values: its part of queries is as wide as the output.
            (queries, keys) = (count(output), query[1])
        }
        if let present = node.outputs.dropFirst().first, let extents = dims(present), extents.count == 4 {
            keys = extents[2]
        } else if let extents = dims(node.input(past)), extents.count == 4 {
            keys += extents[2]
        }
        return Double(keys) * (queries + count(output))
    }

    /// MACs of an Einsum, its operands multiplied from left to right. A product that sums nothing is none, like Mul.
    static func macs(ofEinsum equation: String, dims: [[Int]]) -> Double? {
        let sides = equation.filter { $0 != " " }.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false)
        guard terms.count == dims.count, terms.count > 1 else { return nil }
        var extents: [String: Int] = [:]
        var labels: [[String]] = []
        for (term, dims) in zip(terms, dims) {
            guard let names = Self.labels(term, rank: dims.count) else { return nil }
            for (name, extent) in zip(names, dims) { extents[name] = max(extents[name] ?? 1, extent) }
            labels.append(names)
        }
        let result: Set<String>
        if sides.count == 2 {
            let output = sides[1].dropFirst()
            let dots = extents.keys.filter { $0.hasPrefix(".") }
            result = Set(output.filter { $0 != "." }.map(String.init)).union(output.contains(".") ? dots : [])
        } else {
            // Without an output everything that occurs once stays.
            let all = labels.flatMap(\.self)
            result = Set(extents.keys.filter { name in name.hasPrefix(".") || all.count { $0 == name } == 1 })
        }
        var total = 0.0
        var held = Set(labels[0])
        for position in labels.indices.dropFirst() {
            let joined = held.union(labels[position])
            let needed = labels[(position + 1)...].reduce(into: result) { $0.formUnion($1) }
            held = joined.intersection(needed)
            if held != joined { total += joined.reduce(1.0) { $0 * Double(extents[$1] ?? 1) } }
        }
        return total
    }

    /// The label of each axis; those that dots stand for are counted from the last.
    private static func labels(_ term: Substring, rank: Int) -> [String]? {
        guard let dots = term.firstRange(of: "...") else { return term.count == rank ? term.map(String.init) : nil }
        let (before, after) = (term[..<dots.lowerBound], term[dots.upperBound...])
        let open = rank - before.count - after.count
        guard open >= 0 else { return nil }
        return before.map(String.init) + (0..<open).map { ".\(open - $0)" } + after.map(String.init)
    }
}
