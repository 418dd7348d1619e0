/// The elements that are left of several tensors behind each other, as distances and values of a few bits.
struct SparseStream {
    /// Distance of each entry from the one before, the first from position 0.
    private(set) var gaps: [UInt8] = []
    /// The entries' codes, or their bytes where values stand for themselves.
    private(set) var values: [UInt8] = []
    /// Entries of each member.
    private(set) var counts: [Int]

    /// Distances over all members: of the first element that is left of a member, from the last of those before.
    static func distances(_ members: [SparseElements]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(members.reduce(1) { $0 + $1.count })
        var (offset, last) = (0, 0)
        for member in members {
            if let first = member.distances.first {
                result.append(UInt32(truncatingIfNeeded: offset + Int(first) - last))
                result += member.distances.dropFirst()
                last = offset + member.last
            }
            offset += member.tensor.count
        }
        return result
    }

    /// - Returns: `nil` if there is no room for entries that fill the last byte.
    init?(_ unit: SparsePlan.Unit) {
        let (members, most) = (unit.members.map(\.withDistances), (1 << unit.gapBits) - 1)
        counts = [Int](repeating: 0, count: members.count)
        let distances = Self.distances(members)
        var needed = distances.count + SparseElements.fillers(distances, bits: unit.gapBits)
        if distances.isEmpty { needed = 1 }
        gaps.reserveCapacity(needed + 8)
        values.reserveCapacity((needed + 8) * max(unit.valueBits / 8, 1))
        let codes = unit.codebooks.map { Dictionary(uniqueKeysWithValues: $0.enumerated().map { ($1, UInt8($0)) }) }
        let isPacked = unit.gapBits < 8 || !unit.codebooks.isEmpty && unit.valueBits < 8
        // Codes come eight at a time, so that none is cut off.
        var spare = isPacked ? (8 - needed % 8) % 8 : 0

        var ends: [Int] = []
        for member in members { ends.append((ends.last ?? 0) + member.tensor.count) }
        // Where the stream stands, and in which member.
        var (position, current) = (0, 0)
        func append(_ distance: Int, _ isFiller: Bool, _ gaps: inout [UInt8], _ values: inout [UInt8], _ counts: inout [Int]) {
            position += distance
            while position >= ends[current] { current += 1 }
            let member = members[current]
            let pattern = isFiller ? member.fill : member.pattern(position - ends[current] + member.tensor.count)
            gaps.append(UInt8(truncatingIfNeeded: distance))
            counts[current] += 1
            if codes.isEmpty {
                for byte in 0..<member.width { values.append(UInt8(truncatingIfNeeded: pattern >> UInt64(8 * byte))) }
            } else {
                values.append(codes[current][pattern] ?? 0)
            }
        }
        let total = ends.last ?? 0
        let end = distances.reduce(0) { $0 + Int($1) }
        var behind = min(spare, max(total - 1 - end, 0))
        spare -= behind
        if distances.isEmpty { append(0, true, &gaps, &values, &counts) }
        for distance in distances {
            var distance = Int(distance)
            // Where one more entry does not save a filler.
            while spare > 0, distance >= 2, (distance - 1) % most != 0 {
                append(1, true, &gaps, &values, &counts)
                distance -= 1
                spare -= 1
            }
            while distance > most {
                append(most, true, &gaps, &values, &counts)
                distance -= most
            }
            append(distance, false, &gaps, &values, &counts)
        }
        guard spare == 0 else { return nil }
        while behind > 0 {
            append(1, true, &gaps, &values, &counts)
            behind -= 1
        }
    }
}
