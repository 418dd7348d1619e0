import EngineSupport
import Foundation
import ModelGraph
import Synchronization

/// Puts an ONNX file together again from an archive that may be hostile: every length is checked against what is
/// there before memory is taken, and what an archive may grow to has a limit.
struct ArchiveReader {
    private struct Entry {
        /// Where the tensor's bytes stand in the ONNX file.
        var target: Range<Int>
        var width: Int
        var block: Range<Int>
        var checksum: UInt32
    }

    private let bytes: UnsafeRawBufferPointer
    private let limit: Int

    init(_ bytes: UnsafeRawBufferPointer, limit: Int) {
        self.bytes = bytes
        self.limit = limit
    }

    /// The ONNX file.
    func unpack(cancellation: Cancellation) throws -> TensorStorage {
        guard Archive.isArchive(bytes) else { throw EngineError(.model, "not a lathe archive") }
        guard bytes.count > Archive.prefixLength else { throw ByteReader.truncated }
        var reader = ByteReader(bytes)
        _ = try reader.take(Archive.magic.count)
        let version = try reader.fixed()
        guard Archive.readableVersions.contains(version) else {
            throw EngineError(.model, "archive format version \(version), this program reads versions up to \(Archive.version)")
        }
        let checksum = try reader.fixed()
        guard Deflate.crc32(UnsafeRawBufferPointer(rebasing: bytes[Archive.prefixLength...])) == checksum else {
            throw ByteReader.damaged("its checksum does not match")
        }
        let total = try reader.varint()
        let metaLength = try reader.varint()
        guard total <= limit else {
            throw EngineError(.model, "archive of \(bytes.count) bytes declares \(total) bytes, more than the \(limit) allowed")
        }
        let packedMeta = try reader.take(try reader.varint())
        // DEFLATE expands at most 1,032 times.
        guard metaLength <= 1032 * packedMeta.count else { throw ByteReader.damaged("its directory cannot be as large as declared") }
        let meta = try TensorStorage(byteCount: metaLength) { try Deflate.expand(packedMeta, into: $0) }
        let (entries, graph) = try directory(meta.bytes, total: total, blocks: reader.position)
        try cancellation.check()
        return try TensorStorage(byteCount: total) { out in
            fillGraph(graph, around: entries, into: out)
            try fillTensors(entries, into: out, cancellation: cancellation)
        }
    }

    /// Reads the directory and lays the file out.
    private func directory(_ meta: UnsafeRawBufferPointer, total: Int, blocks: Int) throws(EngineError) -> ([Entry], UnsafeRawBufferPointer) {
        var reader = ByteReader(meta)
        let count = try reader.varint(atMost: meta.count / 8)
        var entries: [Entry] = []
        entries.reserveCapacity(count)
        var position = 0
        var literals = 0
        var block = blocks
        for _ in 0..<count {
            let distance = try reader.varint(atMost: total - position)
            let size = try reader.varint(atMost: total - position - distance)
            let width = Int(try reader.byte())
            guard [1, 2, 4, 8].contains(width), size % width == 0, size > 0 else {
                throw ByteReader.damaged("a tensor of \(size) bytes in elements of \(width)")
            }
            let length = try reader.varint(atMost: bytes.count - block)
            position += distance
            literals += distance
            entries.append(
                Entry(target: position..<(position + size), width: width, block: block..<(block + length), checksum: try reader.fixed()))
            position += size
            block += length
        }
        guard block == bytes.count else { throw ByteReader.damaged("\(bytes.count - block) bytes belong to no tensor") }
        let graph = try reader.take(reader.remaining)
        guard literals <= graph.count, position + graph.count - literals == total else {
            throw ByteReader.damaged("its parts do not add up to \(total) bytes")
        }
        return (entries, graph)
    }

    private func fillGraph(_ graph: UnsafeRawBufferPointer, around entries: [Entry], into out: UnsafeMutableRawBufferPointer) {
        var taken = 0
        var position = 0
        for target in entries.map(\.target) + [out.count..<out.count] {
            let count = target.lowerBound - position
            UnsafeMutableRawBufferPointer(rebasing: out[position..<target.lowerBound])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: graph[taken..<(taken + count)]))
            taken += count
            position = target.upperBound
        }
    }

    private func fillTensors(_ entries: [Entry], into out: UnsafeMutableRawBufferPointer, cancellation: Cancellation) throws {
        let state = Mutex<(failure: EngineError?, copies: [(from: Int, to: Int)])>((nil, []))
        // Each iteration writes its own tensor's range, and ranges do not overlap.
        nonisolated(unsafe) let out = out
        nonisolated(unsafe) let bytes = bytes
        DispatchQueue.concurrentPerform(iterations: entries.count) { index in
            guard !cancellation.isCancelled, state.withLock({ $0.failure == nil }) else { return }
            let entry = entries[index]
            let target = UnsafeMutableRawBufferPointer(rebasing: out[entry.target])
            do throws(EngineError) {
                if let earlier = try TensorCoding.read(UnsafeRawBufferPointer(rebasing: bytes[entry.block]), into: target, width: entry.width) {
                    state.withLock { $0.copies.append((earlier, index)) }
                } else {
                    try Self.check(target, entry.checksum)
                }
            } catch {
                state.withLock { $0.failure = error }
            }
        }
        try cancellation.check()
        let (failure, copies) = state.withLock { $0 }
        if let failure { throw failure }
        let duplicates = Set(copies.map(\.to))
        for copy in copies {
            guard copy.from < copy.to, !duplicates.contains(copy.from), entries[copy.from].target.count == entries[copy.to].target.count else {
                throw ByteReader.damaged("a tensor is declared equal to one that it cannot equal")
            }
            let target = UnsafeMutableRawBufferPointer(rebasing: out[entries[copy.to].target])
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: out[entries[copy.from].target]))
            try Self.check(target, entries[copy.to].checksum)
        }
    }

    private static func check(_ tensor: UnsafeMutableRawBufferPointer, _ checksum: UInt32) throws(EngineError) {
        guard Deflate.crc32(UnsafeRawBufferPointer(tensor)) == checksum else { throw ByteReader.damaged("a tensor's checksum does not match") }
    }
}
