import EngineSupport

/// A run of elements of 1, 2, 4 or 8 bytes in the smallest of several forms.
///
/// Layout: form (1 byte), then
/// - stored: the elements;
/// - deflated: length (varint) and zlib data;
/// - planes: for each byte of an element, lowest first, a symbol stream over 256 symbols;
/// - codebook: number of entries (varint), the entries, a symbol stream with the entry of each element. Entries stand in
///   the order that makes the stream's table short.
struct ValueCoding: Sendable {
    enum Form: UInt8, Sendable { case stored, deflated, planes, codebook }

    /// What a run may use.
    struct Options: Sendable {
        var coder = EntropyCoder.smallest
        /// Tries DEFLATE, which takes long and wins only where bytes repeat in runs.
        var deflate = true
    }

    private(set) var form: Form
    /// Bytes of the whole run as coded, exactly.
    private(set) var byteCount: Int
    /// Bytes of codebook entries.
    private(set) var codebookBytes = 0
    /// Bytes of code and frequency tables.
    private(set) var tableBytes = 0
    /// Entries of the codebook; 0 without one.
    private(set) var entries = 0
    /// Whether Huffman codes, range codes or DEFLATE are used.
    private(set) var isEntropyCoded = false
    /// Whether range codes are used.
    private(set) var usesRange = false
    private var deflated: [UInt8] = []
    private var planes: [SymbolStream] = []
    private var codebook: (stream: SymbolStream, patterns: [UInt64])?

    /// Chooses the form for elements that are known by their statistics only, without DEFLATE.
    /// - Parameter counts: of whole elements, if few differ; `planeCounts`: of each byte of an element.
    init(count: Int, width: Int, counts: PatternCounts?, planeCounts: [[Int]], options: Options) {
        form = .stored
        byteCount = 1 + count * width
        guard count > 0 else { return }
        if options.coder != .fixed {
            let streams = planeCounts.map { SymbolStream(counts: $0, ordered: false, coder: options.coder) }
            let size = 1 + streams.reduce(0) { $0 + $1.byteCount }
            if size < byteCount { adopt(planes: streams, size) }
        }
        if let counts, !counts.patterns.isEmpty {
            let stream = SymbolStream(counts: counts.counts, ordered: true, coder: options.coder)
            let book = counts.patterns.count * width
            let size = 1 + ByteWriter.varintLength(counts.patterns.count) + book + stream.byteCount
            if size < byteCount {
                form = .codebook
                byteCount = size
                codebook = (stream, counts.patterns)
                codebookBytes = book
                tableBytes = stream.tableBytes
                entries = counts.patterns.count
                isEntropyCoded = stream.isEntropyCoded
                usesRange = stream.mode == .range
            }
        }
    }

    /// Chooses the form for elements at hand.
    init(
        _ bytes: UnsafeRawBufferPointer, width: Int, counts: PatternCounts?, planeCounts: [[Int]], options: Options, cancellation: Cancellation?
    ) throws {
        self.init(count: bytes.count / width, width: width, counts: counts, planeCounts: planeCounts, options: options)
        guard options.deflate, options.coder != .fixed, bytes.count >= 32, try Self.deflatePays(bytes, against: byteCount, cancellation) else { return }
        let packed = try Deflate.compress(bytes, level: 9, cancellation: cancellation)
        let size = 1 + ByteWriter.varintLength(packed.count) + packed.count
        if size < byteCount {
            form = .deflated
            byteCount = size
            deflated = packed
            (codebookBytes, tableBytes, entries) = (0, 0, 0)
            isEntropyCoded = true
            usesRange = false
        }
    }

    private mutating func adopt(planes streams: [SymbolStream], _ size: Int) {
        form = .planes
        byteCount = size
        planes = streams
        tableBytes = streams.reduce(0) { $0 + $1.tableBytes }
        isEntropyCoded = streams.contains(where: \.isEntropyCoded)
        usesRange = streams.contains { $0.mode == .range }
    }

    /// Whether DEFLATE is worth running on everything, judged on small runs by doing it and on larger ones by sixteen
    /// slices. On runs so large that it takes a second, slices that come close are judged again by more of them.
    private static func deflatePays(_ bytes: UnsafeRawBufferPointer, against size: Int, _ cancellation: Cancellation?) throws -> Bool {
        let slice = 1 << 14
        guard bytes.count > 32 * slice else { return true }
        var out = 0
        let deflater = try Deflater(level: 6, wrapper: .zlib, cancellation: cancellation)
        for number in 0..<16 {
            let start = (bytes.count - slice) / 15 * number
            try deflater.feed(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + slice)])) { out += $0.count }
        }
        try deflater.finish { out += $0.count }
        guard Double(out) / Double(16 * slice) * Double(bytes.count) < 1.1 * Double(size) else { return false }
        guard bytes.count > 8 << 20 else { return true }
        return try estimate(bytes, cancellation) < 1.03 * Double(size)
    }

    /// Bytes that DEFLATE at level 9 would leave of a large run, within about one per cent: from 64 pieces of 64 KB spread
    /// evenly, each with the window before it that matches would reach into.
    private static func estimate(_ bytes: UnsafeRawBufferPointer, _ cancellation: Cancellation?) throws -> Double {
        let (pieces, piece, window) = (64, 1 << 16, 1 << 15)
        var out = 0
        for number in 0..<pieces {
            let start = window + (bytes.count - window - piece) / (pieces - 1) * number
            let deflater = try Deflater(level: 9, wrapper: .zlib, cancellation: cancellation)
            try deflater.prime(UnsafeRawBufferPointer(rebasing: bytes[(start - window)..<start]))
            try deflater.feed(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + piece)])) { out += $0.count }
            try deflater.finish { out += $0.count }
        }
        return Double(out) / Double(pieces * piece) * Double(bytes.count)
    }

    // MARK: Writing

    func write(_ bytes: UnsafeRawBufferPointer, width: Int, to out: inout ByteWriter) {
        out.append(form.rawValue)
        switch form {
        case .stored: out.append(bytes)
        case .deflated:
            out.append(varint: deflated.count)
            out.append(deflated)
        case .planes:
            for (plane, stream) in planes.enumerated() { stream.write(to: &out) { Int(bytes[$0 * width + plane]) } }
        case .codebook:
            guard let codebook else { return }
            var patterns = codebook.patterns
            if let order = codebook.stream.order { patterns = order.map { codebook.patterns[$0] } }
            out.append(varint: patterns.count)
            for pattern in patterns { out.append(pattern: pattern, width: width) }
            let index = PatternIndex(patterns)
            codebook.stream.write(to: &out) { index.number(of: Elements.pattern(bytes, at: $0, width: width)) }
        }
    }

    // MARK: Reading

    /// Reads a run into memory that is exactly as large as its elements.
    static func read(into out: UnsafeMutableRawBufferPointer, width: Int, from reader: inout ByteReader) throws(EngineError) {
        let count = out.count / width
        guard let form = Form(rawValue: try reader.byte()) else { throw ByteReader.damaged("an unknown way of coding values") }
        switch form {
        case .stored: out.copyMemory(from: try reader.take(out.count))
        case .deflated: try Deflate.expand(try reader.take(try reader.varint()), into: out)
        case .planes:
            for plane in 0..<width {
                try SymbolStream.read(count, alphabet: 256, ordered: false, from: &reader) { position, symbol in
                    out[position * width + plane] = UInt8(truncatingIfNeeded: symbol)
                }
            }
        case .codebook:
            let entries = try reader.varint(atMost: 1 << 16)
            guard entries > 0 else { throw ByteReader.damaged("an empty codebook") }
            let book = try reader.take(entries * width)
            switch width {
            case 1: try look(UInt8.self, book, entries, count, out, &reader)
            case 2: try look(UInt16.self, book, entries, count, out, &reader)
            case 4: try look(UInt32.self, book, entries, count, out, &reader)
            default: try look(UInt64.self, book, entries, count, out, &reader)
            }
        }
    }

    private static func look<T: BitwiseCopyable>(
        _: T.Type, _ book: UnsafeRawBufferPointer, _ entries: Int, _ count: Int, _ out: UnsafeMutableRawBufferPointer, _ reader: inout ByteReader
    ) throws(EngineError) {
        let stride = MemoryLayout<T>.stride
        var table: [T] = []
        table.reserveCapacity(entries)
        for entry in 0..<entries { table.append(book.loadUnaligned(fromByteOffset: entry * stride, as: T.self)) }
        var failure: EngineError?
        table.withUnsafeBufferPointer { table in
            do throws(EngineError) {
                try SymbolStream.read(count, alphabet: entries, ordered: true, from: &reader) { position, symbol in
                    out.storeBytes(of: table[symbol], toByteOffset: position * stride, as: T.self)
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
    }
}

/// Elements as unsigned patterns.
enum Elements {
    @inline(__always)
    static func pattern(_ bytes: UnsafeRawBufferPointer, at position: Int, width: Int) -> UInt64 {
        switch width {
        case 1: UInt64(bytes[position])
        case 2: UInt64(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: position * 2, as: UInt16.self)))
        case 4: UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position * 4, as: UInt32.self)))
        default: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position * 8, as: UInt64.self))
        }
    }

    /// How often each value of each byte of an element occurs.
    static func planeCounts(_ bytes: UnsafeRawBufferPointer, width: Int) -> [[Int]] {
        var counts = [Int](repeating: 0, count: 256 * width)
        counts.withUnsafeMutableBufferPointer { counts in
            var plane = 0
            for byte in bytes {
                counts[plane << 8 | Int(byte)] += 1
                plane += 1
                if plane == width { plane = 0 }
            }
        }
        return (0..<width).map { Array(counts[($0 << 8)..<(($0 + 1) << 8)]) }
    }
}
