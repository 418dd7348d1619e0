/// Right, wrong or not yet known, one per sample: two bits each, so that they can be stored with a trial.
public struct Outcomes: Sendable, Hashable, Codable {
    public let count: Int
    /// How many are known, and how many of those are right.
    public private(set) var known = 0
    public private(set) var right = 0
    private var knownBits: [UInt64]
    private var rightBits: [UInt64]

    /// - Precondition: `count` ≥ 0.
    public init(count: Int) {
        self.count = count
        knownBits = Array(repeating: 0, count: (count + 63) / 64)
        rightBits = knownBits
    }

    public var isComplete: Bool { known == count }

    /// - Precondition: `position` within 0 ..< `count`.
    public subscript(position: Int) -> Bool? {
        precondition(position >= 0 && position < count, "no such sample")
        let bit: UInt64 = 1 << UInt64(position % 64)
        return knownBits[position / 64] & bit == 0 ? nil : rightBits[position / 64] & bit != 0
    }

    /// - Returns: false, with nothing changed, if it was known already.
    public mutating func set(_ position: Int, _ isRight: Bool) -> Bool {
        guard self[position] == nil else { return false }
        let bit: UInt64 = 1 << UInt64(position % 64)
        knownBits[position / 64] |= bit
        known += 1
        if isRight {
            rightBits[position / 64] |= bit
            right += 1
        }
        return true
    }

    private enum CodingKeys: String, CodingKey { case count, known, right }

    /// - Throws: `DecodingError` if the bits are not those of `count` samples.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let count = try values.decode(Int.self, forKey: .count)
        let knownBits = try values.decode([UInt64].self, forKey: .known)
        let rightBits = try values.decode([UInt64].self, forKey: .right)
        let words = count >= 0 ? (count / 64) + (count % 64 == 0 ? 0 : 1) : -1
        let unused = count > 0 && count % 64 != 0 ? ~UInt64(0) << UInt64(count % 64) : 0
        guard knownBits.count == words, rightBits.count == words, (knownBits.last ?? 0) & unused == 0,
            zip(knownBits, rightBits).allSatisfy({ $1 & ~$0 == 0 })
        else {
            throw DecodingError.dataCorrupted(DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "not \(count) outcomes"))
        }
        self.count = count
        self.knownBits = knownBits
        self.rightBits = rightBits
        known = knownBits.reduce(0) { $0 + $1.nonzeroBitCount }
        right = rightBits.reduce(0) { $0 + $1.nonzeroBitCount }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(count, forKey: .count)
        try values.encode(knownBits, forKey: .known)
        try values.encode(rightBits, forKey: .right)
    }
}
