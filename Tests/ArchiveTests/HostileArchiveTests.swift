import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Archive
@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// Archives made to do harm: each must end in a one-line error or a model, within the memory that it is allowed.
@Suite struct HostileArchiveTests {
    private static func archive() throws -> [UInt8] {
        let model = Fixture.pruned(try Fixture.sample("ds-cnn"), keeping: 0.3)
        return try Archive.pack(
            try RecipeExecutor(baseline: model).apply(Recipe(steps: [RecipeStep(technique: "weight-sharing")]), context: RewriteContext()).model
        ).joined()
    }

    /// Makes the checksum right again, so that damage reaches the parts behind it.
    private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count > 16 else { return bytes }
        var bytes = bytes
        let checksum = bytes[16...].withUnsafeBytes { Deflate.crc32($0) }
        withUnsafeBytes(of: checksum.littleEndian) { bytes.replaceSubrange(12..<16, with: $0) }
        return bytes
    }

    private func judge(_ bytes: [UInt8]) {
        do {
            _ = try ArchiveTests.unpack(bytes, maximumBytes: 16 << 20)
        } catch let error as EngineError {
            #expect(!error.message.contains("\n") && error.message.count < 300)
        } catch {
            Issue.record("not an EngineError: \(error)")
        }
    }

    @Test func everyTruncationIsNoticed() throws {
        let bytes = try Self.archive()
        for length in Array(0..<64) + stride(from: 64, to: bytes.count, by: 97) {
            #expect(throws: EngineError.self) { try ArchiveTests.unpack(Array(bytes.prefix(length))) }
            judge(Self.sealed(Array(bytes.prefix(length))))
        }
    }

    @Test func everyFlippedByteIsNoticed() throws {
        let bytes = try Self.archive()
        for position in stride(from: 0, to: bytes.count, by: 131) {
            var damaged = bytes
            damaged[position] ^= 0x10
            #expect(throws: EngineError.self) { try ArchiveTests.unpack(damaged) }
        }
    }

    /// Random damage behind a right checksum: the tensors' own checksums and every bound are what is left.
    @Test func randomDamageBehindARightChecksum() throws {
        let bytes = try Self.archive()
        var generator = SeededGenerator(seed: 12)
        var refused = 0
        for _ in 0..<600 {
            var damaged = bytes
            for _ in 0...generator.below(4) { damaged[16 + generator.below(damaged.count - 16)] = UInt8(truncatingIfNeeded: generator.next()) }
            judge(Self.sealed(damaged))
            if (try? ArchiveTests.unpack(Self.sealed(damaged), maximumBytes: 16 << 20)) == nil { refused += 1 }
        }
        #expect(refused > 590)
    }

    /// Damage inside the directory, which is compressed: taken out, changed, compressed and sealed again.
    @Test func damagedDirectories() throws {
        let bytes = try Self.archive()
        var generator = SeededGenerator(seed: 13)
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            _ = try reader.take(16)
            let total = try reader.varint()
            let length = try reader.varint()
            let packed = try reader.take(try reader.varint())
            let rest = Array(try reader.take(reader.remaining))
            var meta = [UInt8](repeating: 0, count: length)
            try meta.withUnsafeMutableBytes { try Deflate.expand(packed, into: $0) }
            for round in 0..<600 {
                var damaged = meta
                // Mostly the directory at the front, sometimes the graph.
                for _ in 0...generator.below(3) {
                    damaged[generator.below(round % 4 == 0 ? damaged.count : 150)] = UInt8(truncatingIfNeeded: generator.next())
                }
                let declared = round % 5 == 0 ? generator.below(1 << 30) : total
                var out = ByteWriter()
                out.append(bytes[..<16])
                out.append(varint: declared)
                out.append(varint: damaged.count)
                let again = try damaged.withUnsafeBytes { try Deflate.compress($0, level: 1) }
                out.append(varint: again.count)
                out.append(again)
                out.append(rest)
                judge(Self.sealed(out.bytes))
            }
        }
    }

    /// A few bytes that declare terabytes are refused before memory is taken.
    @Test func bombsAreRefused() throws {
        func archive(total: Int, meta: Int, packed: [UInt8]) -> [UInt8] {
            var out = ByteWriter()
            out.append(Archive.magic)
            out.append(fixed: Archive.version)
            out.append(fixed: 0)
            out.append(varint: total)
            out.append(varint: meta)
            out.append(varint: packed.count)
            out.append(packed)
            return Self.sealed(out.bytes)
        }
        let nothing = try Deflate.compress(UnsafeRawBufferPointer(start: nil, count: 0), level: 1)
        let large = message { _ = try ArchiveTests.unpack(archive(total: 1 << 45, meta: 10, packed: nothing)) }
        #expect(large.contains("more than the"))
        let deep = message { _ = try ArchiveTests.unpack(archive(total: 100, meta: 1 << 45, packed: nothing)) }
        #expect(deep.contains("cannot be as large"))
    }

    @Test func otherVersionsAndOtherFiles() throws {
        var bytes = try Self.archive()
        bytes[8] = 9
        #expect(message { _ = try ArchiveTests.unpack(bytes) }.contains("version 9"))
        #expect(message { _ = try ArchiveTests.unpack([]) } == "not a lathe archive")
        #expect(message { _ = try ArchiveTests.unpack(Array("PK\u{3}\u{4}00000000000000000".utf8)) } == "not a lathe archive")
    }
}
