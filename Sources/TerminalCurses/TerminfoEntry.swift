#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A compiled terminal description, taken apart as term(5) describes it.
struct TerminfoEntry: Equatable {
    var names: [UInt8]
    var booleans: [UInt8]
    /// -1 absent, -2 cancelled.
    var numbers: [Int32]
    /// nil absent; without the final zero.
    var strings: [StringValue]
    var extendedBooleans: [(name: [UInt8], value: UInt8)]
    var extendedNumbers: [(name: [UInt8], value: Int32)]
    var extendedStrings: [(name: [UInt8], value: StringValue)]

    enum StringValue: Equatable {
        case absent, cancelled
        case text([UInt8])
    }

    static func == (a: Self, b: Self) -> Bool { a.compiled == b.compiled }

    // Positions in the predefined lists of term.h.
    private static let canChange = 27
    private static let maxColors = 13
    private static let maxPairs = 14
    private static let setForeground = 359
    private static let setBackground = 360

    /// The same terminal with `RGB`, 2^24 colors, and colors given as 0xRRGGBB (0...7 stay the terminal's own). nil when it has
    /// no colors to begin with.
    func withDirectColor() -> TerminfoEntry? {
        guard strings.count > Self.setBackground, numbers.count > Self.maxPairs, booleans.count > Self.canChange,
            case .text = strings[Self.setForeground]
        else { return nil }
        var result = self
        result.numbers[Self.maxColors] = 1 << 24
        result.numbers[Self.maxPairs] = 1 << 16
        result.booleans[Self.canChange] = 0
        func set(_ ansi: String, _ direct: String) -> StringValue {
            .text(
                Array(
                    "\u{1B}[%?%p1%{8}%<%t\(ansi)%p1%d%e\(direct);2;%p1%{65536}%/%d;%p1%{256}%/%{255}%&%d;%p1%{255}%&%d%;m"
                        .utf8))
        }
        result.strings[Self.setForeground] = set("3", "38")
        result.strings[Self.setBackground] = set("4", "48")
        let rgb = Array("RGB".utf8)
        result.extendedBooleans.removeAll { $0.name == rgb }
        result.extendedBooleans.append((rgb, 1))
        return result
    }

    /// The description of a terminal type from the places curses looks.
    static func find(type: String, environment: [String: String]) -> TerminfoEntry? {
        guard let first = type.utf8.first, !type.contains("/") else { return nil }
        var folders: [String] = []
        if let own = environment["TERMINFO"], own.hasPrefix("/") { folders.append(own) }
        if let home = environment["HOME"] { folders.append(home + "/.terminfo") }
        folders += (environment["TERMINFO_DIRS"] ?? "").split(separator: ":").map(String.init)
        folders += ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"]
        let letter = String(type.prefix(1))
        let hex = String(first, radix: 16)
        for folder in folders {
            for part in [letter, hex] {
                if let bytes = read("\(folder)/\(part)/\(type)"), let entry = TerminfoEntry(compiled: bytes) {
                    return entry
                }
            }
        }
        return nil
    }

    /// A file of at most 32 KB, the limit for descriptions.
    private static func read(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 32769)
        var count = 0
        while count < buffer.count {
            let n = buffer.withUnsafeMutableBytes {
                pread(file, $0.baseAddress! + count, $0.count - count, off_t(count))
            }
            if n <= 0 { break }
            count += n
        }
        return count > 12 && count <= 32768 ? Array(buffer[..<count]) : nil
    }
}

// MARK: - The compiled form

extension TerminfoEntry {
    private static let magic16: Int = 0o432
    private static let magic32: Int = 0o1036

    init?(compiled bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard let magic = reader.short(), magic == Self.magic16 || magic == Self.magic32 else { return nil }
        let isWide = magic == Self.magic32
        guard let nameSize = reader.short(), let booleanCount = reader.short(), let numberCount = reader.short(),
            let stringCount = reader.short(), let tableSize = reader.short(), nameSize > 0,
            let names = reader.take(nameSize), let booleans = reader.take(booleanCount)
        else { return nil }
        reader.align()
        guard let numbers = reader.numbers(numberCount, isWide: isWide), let offsets = reader.shorts(stringCount),
            let table = reader.take(tableSize)
        else { return nil }
        self.names = names
        self.booleans = booleans
        self.numbers = numbers
        strings = offsets.map { Self.string(at: $0, in: table) }
        (extendedBooleans, extendedNumbers, extendedStrings) = ([], [], [])
        reader.align()
        guard reader.hasMore else { return }
        guard let extBooleans = reader.short(), let extNumbers = reader.short(), let extStrings = reader.short(),
            reader.short() != nil, let extTableSize = reader.short(), let flags = reader.take(extBooleans)
        else { return nil }
        reader.align()
        let nameCount = extBooleans + extNumbers + extStrings
        guard let values = reader.numbers(extNumbers, isWide: isWide), let valueOffsets = reader.shorts(extStrings),
            let nameOffsets = reader.shorts(nameCount), let extTable = reader.take(extTableSize)
        else { return nil }
        let texts = valueOffsets.map { Self.string(at: $0, in: extTable) }
        // Names lie behind the values and count from there.
        let nameBase = texts.reduce(0) { size, text in
            if case .text(let bytes) = text { size + bytes.count + 1 } else { size }
        }
        let names2 = nameOffsets.map { offset -> [UInt8] in
            if case .text(let bytes) = Self.string(at: offset + nameBase, in: extTable) { bytes } else { [] }
        }
        for (index, flag) in flags.enumerated() { extendedBooleans.append((names2[index], flag)) }
        for (index, value) in values.enumerated() { extendedNumbers.append((names2[extBooleans + index], value)) }
        for (index, text) in texts.enumerated() {
            extendedStrings.append((names2[extBooleans + extNumbers + index], text))
        }
    }

    /// With numbers of 32 bits, which 2^24 colors need.
    var compiled: [UInt8] {
        var writer = Writer()
        let (offsets, table) = Self.table(strings)
        for value in [Self.magic32, names.count, booleans.count, numbers.count, strings.count, table.count] {
            writer.short(value)
        }
        writer.bytes += names
        writer.bytes += booleans
        writer.align()
        numbers.forEach { writer.number($0) }
        offsets.forEach { writer.short($0) }
        writer.bytes += table
        writer.align()
        let names = extendedBooleans.map(\.name) + extendedNumbers.map(\.name) + extendedStrings.map(\.name)
        guard !names.isEmpty else { return writer.bytes }
        let (valueOffsets, values) = Self.table(extendedStrings.map(\.value))
        let (nameOffsets, nameTable) = Self.table(names.map(StringValue.text))
        for value in [
            extendedBooleans.count, extendedNumbers.count, extendedStrings.count, extendedStrings.count + names.count,
            values.count + nameTable.count,
        ] { writer.short(value) }
        extendedBooleans.forEach { writer.bytes.append($0.value) }
        writer.align()
        extendedNumbers.forEach { writer.number($0.value) }
        valueOffsets.forEach { writer.short($0) }
        nameOffsets.forEach { writer.short($0) }
        writer.bytes += values + nameTable
        return writer.bytes
    }

    private static func string(at offset: Int, in table: [UInt8]) -> StringValue {
        if offset == 0xFFFE { return .cancelled }
        guard offset < table.count else { return .absent }
        return .text(Array(table[offset...].prefix { $0 != 0 }))
    }

    private static func table(_ strings: [StringValue]) -> (offsets: [Int], bytes: [UInt8]) {
        var bytes: [UInt8] = []
        let offsets = strings.map { string -> Int in
            switch string {
            case .absent: return 0xFFFF
            case .cancelled: return 0xFFFE
            case .text(let text):
                defer { bytes += text + [0] }
                return bytes.count
            }
        }
        return (offsets, bytes)
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0
        init(bytes: [UInt8]) { self.bytes = bytes }
        var hasMore: Bool { position + 10 <= bytes.count }
        mutating func align() { position += position & 1 }
        mutating func take(_ count: Int) -> [UInt8]? {
            guard count >= 0, count < 0x8000, position + count <= bytes.count else { return nil }
            defer { position += count }
            return Array(bytes[position..<position + count])
        }
        mutating func short() -> Int? { take(2).map { Int($0[0]) | Int($0[1]) << 8 } }
        mutating func shorts(_ count: Int) -> [Int]? {
            take(2 * count).map { b in (0..<count).map { Int(b[2 * $0]) | Int(b[2 * $0 + 1]) << 8 } }
        }
        mutating func numbers(_ count: Int, isWide: Bool) -> [Int32]? {
            guard isWide else { return shorts(count)?.map { Int32(Int16(truncatingIfNeeded: $0)) } }
            return take(4 * count).map { b in
                (0..<count).map { i in
                    Int32(bitPattern: (0..<4).reduce(0) { (bits: UInt32, byte: Int) -> UInt32 in bits | UInt32(b[4 * i + byte]) << UInt32(8 * byte) })
                }
            }
        }
    }

    private struct Writer {
        var bytes: [UInt8] = []
        mutating func align() { if bytes.count & 1 == 1 { bytes.append(0) } }
        mutating func short(_ value: Int) {
            bytes += [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
        }
        mutating func number(_ value: Int32) {
            for shift in stride(from: 0, to: 32, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> Int32(shift)))
            }
        }
    }
}
