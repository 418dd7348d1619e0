import EngineSupport

/// Elements as runs of one pattern that is left out (zero, or a zero point) and the others, each with the distance from the one
/// before (Han, Mao and Dally 2016, section 2).
///
/// The distance of an element at position p from the one before at position q (−1 at first) is p − q ≥ 1. It is stored
/// less one in `indexBits` bits; while it is above 2^indexBits, a filler of the pattern left out is inserted at the greatest
/// distance. What follows the last element is filled by the tensor's size.
///
/// Layout: the pattern left out, index bits (1 byte), number of stored elements with fillers (varint), distances
/// as a symbol stream over 2^indexBits symbols, values as `ValueCoding`.
struct SparseCoding: Sendable {
    let skipped: UInt64
    let indexBits: Int
    /// Stored elements without fillers.
    let kept: Int
    let fillers: Int
    private let distances: SymbolStream
    private let values: ValueCoding
    private let pairs: [UInt8]
    private let valueBytes: [UInt8]

    /// Bytes as coded; as exact as `SymbolStream.byteCount`.
    let byteCount: Int
    /// Bytes of the distances and their table.
    var indexBytes: Int { distances.byteCount }
    var codebookBytes: Int { values.codebookBytes }
    var tableBytes: Int { distances.tableBytes + values.tableBytes }
    var codebookEntries: Int { values.entries }
    var isEntropyCoded: Bool { values.isEntropyCoded || distances.isEntropyCoded }
    var usesRange: Bool { values.usesRange || distances.mode == .range }

    /// Codes a tensor, with the number of index bits that takes least room among `choices`; `nil` if nothing is to be
    /// left out or the tensor would take at least `limit` bytes.
    init?(
        _ bytes: UnsafeRawBufferPointer, width: Int, skipping skipped: UInt64, counts: PatternCounts?, choices: [Int],
        options: ValueCoding.Options, below limit: Int, cancellation: Cancellation?
    ) throws {
        let gaps = GapCounts(bytes, width: width, skipping: skipped)
        guard gaps.kept < bytes.count / width else { return nil }
        let keptPlanes = gaps.kept > 0 ? Self.planeCounts(bytes, width: width, skipping: skipped) : []
        var best: (bits: Int, size: Int)?
        for bits in choices {
            let fillers = gaps.fillers(indexBits: bits)
            let pairs = gaps.kept + fillers
            let values = ValueCoding(
                count: pairs, width: width, counts: counts?.replacing(skipped, count: fillers),
                planeCounts: Self.adding(fillers, of: skipped, to: keptPlanes), options: options)
            let steps = SymbolStream(counts: gaps.symbols(indexBits: bits), ordered: false, coder: options.coder)
            let size = 1 + width + ByteWriter.varintLength(pairs) + steps.byteCount + values.byteCount
            if size < best?.size ?? limit { best = (bits, size) }
        }
        guard let best else { return nil }
        self.skipped = skipped
        indexBits = best.bits
        kept = gaps.kept
        fillers = gaps.fillers(indexBits: best.bits)
        let count = kept + fillers
        distances = SymbolStream(counts: gaps.symbols(indexBits: best.bits), ordered: false, coder: options.coder)
        (pairs, valueBytes) = Self.pairs(bytes, width: width, skipping: skipped, indexBits: best.bits, count: count)
        values = try valueBytes.withUnsafeBytes { stored in
            try ValueCoding(
                stored, width: width, counts: counts?.replacing(skipped, count: count - gaps.kept),
                planeCounts: Elements.planeCounts(stored, width: width), options: options, cancellation: cancellation)
        }
        byteCount = 1 + width + ByteWriter.varintLength(count) + distances.byteCount + values.byteCount
    }

    func write(width: Int, to out: inout ByteWriter) {
        out.append(pattern: skipped, width: width)
        out.append(UInt8(indexBits))
        out.append(varint: pairs.count)
        distances.write(to: &out) { Int(pairs[$0]) }
        valueBytes.withUnsafeBytes { values.write($0, width: width, to: &out) }
    }

    /// Reads a tensor into memory of exactly its size.
    static func read(into out: UnsafeMutableRawBufferPointer, width: Int, from reader: inout ByteReader) throws(EngineError) {
        let skipped = try reader.pattern(width: width)
        let indexBits = Int(try reader.byte())
        guard (1...8).contains(indexBits) else { throw ByteReader.damaged("indices of \(indexBits) bits") }
        let count = out.count / width
        let pairs = try reader.varint(atMost: count)
        fill(out, with: skipped, width: width)
        let steps = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: pairs)
        let values = UnsafeMutableRawBufferPointer.allocate(byteCount: pairs * width, alignment: 16)
        defer {
            steps.deallocate()
            values.deallocate()
        }
        try SymbolStream.read(pairs, alphabet: 1 << indexBits, ordered: false, from: &reader) { position, symbol in
            steps[position] = UInt8(truncatingIfNeeded: symbol)
        }
        try ValueCoding.read(into: values, width: width, from: &reader)
        switch width {
        case 1: try scatter(UInt8.self, steps, values, into: out)
        case 2: try scatter(UInt16.self, steps, values, into: out)
        case 4: try scatter(UInt32.self, steps, values, into: out)
        default: try scatter(UInt64.self, steps, values, into: out)
        }
    }

    /// Puts stored elements where their distances say.
    private static func scatter<T: BitwiseCopyable>(
        _: T.Type, _ steps: UnsafeMutableBufferPointer<UInt8>, _ values: UnsafeMutableRawBufferPointer, into out: UnsafeMutableRawBufferPointer
    ) throws(EngineError) {
        let width = MemoryLayout<T>.stride
        let count = out.count / width
        var position = -1
        for (pair, step) in steps.enumerated() {
            position += Int(step) + 1
            guard position < count else { throw ByteReader.damaged("an index beyond the tensor's \(count) elements") }
            out.storeBytes(of: values.loadUnaligned(fromByteOffset: pair * width, as: T.self), toByteOffset: position * width, as: T.self)
        }
    }

    private static func fill(_ out: UnsafeMutableRawBufferPointer, with pattern: UInt64, width: Int) {
        switch width {
        case _ where pattern == 0: out.initializeMemory(as: UInt8.self, repeating: 0)
        case 1: out.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: pattern))
        default:
            // The first element, then what is filled so far again and again.
            for index in 0..<min(width, out.count) { out[index] = UInt8(truncatingIfNeeded: pattern >> UInt64(8 * index)) }
            var filled = width
            while filled < out.count {
                let run = min(filled, out.count - filled)
                UnsafeMutableRawBufferPointer(rebasing: out[filled..<(filled + run)]).copyMemory(from: UnsafeRawBufferPointer(rebasing: out[..<run]))
                filled += run
            }
        }
    }

    /// Distances less one, and the stored elements, fillers included.
    private static func pairs(
        _ bytes: UnsafeRawBufferPointer, width: Int, skipping skipped: UInt64, indexBits: Int, count: Int
    ) -> ([UInt8], [UInt8]) {
        var steps: [UInt8] = []
        var values = ByteWriter()
        steps.reserveCapacity(count)
        let span = 1 << indexBits
        var last = -1
        for position in 0..<(bytes.count / width) {
            let pattern = Elements.pattern(bytes, at: position, width: width)
            guard pattern != skipped else { continue }
            while position - last > span {
                steps.append(UInt8(span - 1))
                values.append(pattern: skipped, width: width)
                last += span
            }
            steps.append(UInt8(position - last - 1))
            values.append(pattern: pattern, width: width)
            last = position
        }
        return (steps, values.bytes)
    }

    private static func planeCounts(_ bytes: UnsafeRawBufferPointer, width: Int, skipping skipped: UInt64) -> [[Int]] {
        var counts = [[Int]](repeating: [Int](repeating: 0, count: 256), count: width)
        for position in 0..<(bytes.count / width) where Elements.pattern(bytes, at: position, width: width) != skipped {
            for plane in 0..<width { counts[plane][Int(bytes[position * width + plane])] += 1 }
        }
        return counts
    }

    private static func adding(_ fillers: Int, of pattern: UInt64, to planes: [[Int]]) -> [[Int]] {
        var planes = planes
        for plane in planes.indices { planes[plane][Int((pattern >> UInt64(8 * plane)) & 0xFF)] += fillers }
        return planes
    }
}

/// How often each distance between neighboring stored elements occurs.
struct GapCounts: Sendable {
    /// By distance less one, up to 2¹⁶.
    private var near = [Int](repeating: 0, count: 1 << 16)
    /// Longer distances less one.
    private var far: [Int] = []
    private(set) var kept = 0

    init(_ bytes: UnsafeRawBufferPointer, width: Int, skipping skipped: UInt64) {
        var last = -1
        for position in 0..<(bytes.count / width) where Elements.pattern(bytes, at: position, width: width) != skipped {
            let gap = position - last - 1
            if gap < near.count { near[gap] += 1 } else { far.append(gap) }
            kept += 1
            last = position
        }
    }

    /// Fillers needed with `indexBits` bits.
    func fillers(indexBits: Int) -> Int {
        var fillers = 0
        for (gap, count) in near.enumerated() { fillers += count * (gap >> indexBits) }
        for gap in far { fillers += gap >> indexBits }
        return fillers
    }

    /// How often each stored distance occurs, fillers included.
    func symbols(indexBits: Int) -> [Int] {
        let span = 1 << indexBits
        var symbols = [Int](repeating: 0, count: span)
        for (gap, count) in near.enumerated() where count > 0 {
            symbols[gap & (span - 1)] += count
            symbols[span - 1] += count * (gap >> indexBits)
        }
        for gap in far {
            symbols[gap & (span - 1)] += 1
            symbols[span - 1] += gap >> indexBits
        }
        return symbols
    }
}
