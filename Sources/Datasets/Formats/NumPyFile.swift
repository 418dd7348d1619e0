import CZip
import EngineSupport
import Foundation

/// Arrays in an `.npz` archive, or the one array of an `.npy` file. Headers are read at once, data on demand.
struct NumPyFile: Sendable {
    let path: String
    /// Array names (without `.npy`) and headers, in the file's order.
    let arrays: [(name: String, header: NPYHeader)]
    private let isArchive: Bool

    /// - Throws: `EngineError` in one line that names the file and, in an archive, the array.
    init(path: String) throws {
        self.path = path
        let file = try InputFile(path: path)
        defer { file.close() }
        var start = [UInt8](repeating: 0, count: 6)
        let got = start.withUnsafeMutableBytes { pread(file.descriptor, $0.baseAddress, $0.count, 0) }
        if got == 6, start[0] == 0x93 {
            isArchive = false
            var offset = 0
            let header = try NPYHeader.read(file: path) { buffer in
                let got = max(0, pread(file.descriptor, buffer.baseAddress, buffer.count, off_t(offset)))
                offset += got
                return got
            }
            guard header.headerBytes + header.dataBytes == file.byteCount else {
                throw EngineError(
                    .data,
                    "\(path): the header says \(header.shape.shapeText) of \(header.type), \(header.headerBytes + header.dataBytes) bytes; the file has \(file.byteCount)"
                )
            }
            arrays = [("", header)]
        } else {
            isArchive = true
            let archive = try ZipArchive(path: path)
            var arrays: [(name: String, header: NPYHeader)] = []
            for (index, entry) in archive.entries.enumerated() where entry.name.hasSuffix(".npy") {
                let name = String(entry.name.dropLast(4))
                guard !arrays.contains(where: { $0.name == name }) else { throw EngineError(.data, "\(path): two arrays named '\(name)'") }
                let reader = try archive.open(index)
                let header = try NPYHeader.read(file: "\(path): \(entry.name)", reader.read(into:))
                guard header.headerBytes + header.dataBytes == entry.byteCount else {
                    throw EngineError(
                        .data,
                        "\(path): \(entry.name): the header says \(header.shape.shapeText) of \(header.type); the archive has \(entry.byteCount) bytes for it"
                    )
                }
                arrays.append((name, header))
            }
            guard !arrays.isEmpty else { throw EngineError(.data, "\(path): no NumPy arrays in this archive") }
            self.arrays = arrays
        }
    }

    func header(_ name: String) -> NPYHeader? { arrays.first { $0.name == name }?.header }

    /// Reads one array into native byte order and C order.
    func decode(_ name: String) throws -> RawArray {
        guard let header = header(name) else { throw EngineError(.data, "\(path): no array '\(name)'") }
        let what = isArchive ? "\(path): \(name).npy" : path
        let memory = try SampleMemory(byteCount: header.dataBytes, what: what)
        let got: Int
        if isArchive {
            let archive = try ZipArchive(path: path)
            guard let index = archive.entries.firstIndex(where: { $0.name == name + ".npy" }) else {
                throw EngineError(.data, "\(path): changed while it was in use")
            }
            let reader = try archive.open(index)
            guard try NPYHeader.read(file: what, reader.read(into:)) == header else { throw EngineError(.data, "\(path): changed while it was in use") }
            got = try reader.read(into: memory.mutableBytes)
            try reader.finish()
        } else {
            let file = try InputFile(path: path)
            defer { file.close() }
            var offset = 0
            while offset < header.dataBytes {
                let part = pread(
                    file.descriptor, memory.mutableBytes.baseAddress! + offset, header.dataBytes - offset, off_t(header.headerBytes + offset))
                if part < 0, errno == EINTR { continue }
                guard part > 0 else { break }
                offset += part
            }
            got = offset
        }
        guard got == header.dataBytes else { throw EngineError(.data, "\(what): ends after \(got) of \(header.dataBytes) bytes of data") }
        ByteOrder.swap(memory.mutableBytes, width: header.type.byteWidth, from: header.order)
        let array = RawArray(type: header.type, shape: header.shape, memory: memory, isText: header.isText)
        return header.isFortranOrder && !header.isText && header.shape.count > 1 ? try array.fromFortranOrder(what: what) : array
    }
}

extension RawArray {
    /// The same array with its elements moved from column-major to row-major places.
    fileprivate func fromFortranOrder(what: String) throws -> RawArray {
        let result = try SampleMemory(byteCount: memory.byteCount, what: what)
        let width = type.byteWidth
        // Column-major: the first axis turns fastest.
        var strides = [1]
        for dimension in shape.dropLast() { strides.append(strides[strides.count - 1] * dimension) }
        let count = memory.byteCount / width
        var index = [Int](repeating: 0, count: shape.count)
        var source = 0
        for target in 0..<count {
            memcpy(result.mutableBytes.baseAddress! + target * width, memory.bytes.baseAddress! + source * width, width)
            // Odometer: the last axis turns fastest in C order.
            var axis = shape.count - 1
            while axis >= 0 {
                index[axis] += 1
                source += strides[axis]
                if index[axis] < shape[axis] { break }
                source -= strides[axis] * shape[axis]
                index[axis] = 0
                axis -= 1
            }
        }
        return RawArray(type: type, shape: shape, memory: result)
    }
}

/// A zip archive through libzip, with sizes checked against what deflate can do.
private final class ZipArchive {
    struct Entry {
        var name: String
        var byteCount: Int
    }

    let path: String
    let entries: [Entry]
    private let archive: OpaquePointer

    init(path: String) throws {
        var code: Int32 = 0
        guard let archive = zip_open(path, ZIP_RDONLY, &code) else {
            var error = zip_error_t()
            zip_error_init_with_code(&error, code)
            defer { zip_error_fini(&error) }
            throw EngineError(.data, "\(path): not a readable .npz archive: \(String(cString: zip_error_strerror(&error)))")
        }
        self.path = path
        self.archive = archive
        let count = zip_get_num_entries(archive, 0)
        guard count <= DataLimits.archiveEntries else {
            zip_discard(archive)
            throw EngineError(.data, "\(path): \(count) entries, at most \(DataLimits.archiveEntries) are read")
        }
        var entries: [Entry] = []
        for index in 0..<max(0, count) {
            var status = zip_stat_t()
            let wanted = UInt64(ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE)
            guard zip_stat_index(archive, UInt64(index), 0, &status) == 0, status.valid & wanted == wanted, let name = status.name,
                status.size <= UInt64(DataLimits.arrayBytes) + 65536
            else {
                zip_discard(archive)
                throw EngineError(.data, "\(path): entry \(index) has no usable name and size")
            }
            guard status.size / UInt64(DataLimits.deflateExpansion) <= status.comp_size else {
                zip_discard(archive)
                throw EngineError(.data, "\(path): \(String(cString: name)): \(status.size) bytes cannot come out of \(status.comp_size)")
            }
            entries.append(Entry(name: String(cString: name), byteCount: Int(status.size)))
        }
        self.entries = entries
    }

    deinit { zip_discard(archive) }

    func open(_ index: Int) throws -> Reader {
        guard let file = zip_fopen_index(archive, UInt64(index), 0) else {
            throw EngineError(.data, "\(path): \(entries[index].name): \(String(cString: zip_strerror(archive)))")
        }
        return Reader(file: file, archive: self, name: entries[index].name)
    }

    /// One entry, read in order. Keeps its archive open.
    final class Reader {
        private let file: OpaquePointer
        private let archive: ZipArchive
        private let name: String

        init(file: OpaquePointer, archive: ZipArchive, name: String) {
            self.file = file
            self.archive = archive
            self.name = name
        }

        deinit { zip_fclose(file) }

        func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
            var offset = 0
            while offset < buffer.count {
                let got = zip_fread(file, buffer.baseAddress! + offset, UInt64(buffer.count - offset))
                guard got >= 0 else {
                    throw EngineError(.data, "\(archive.path): \(name): damaged: \(String(cString: zip_file_strerror(file)))")
                }
                if got == 0 { break }
                offset += Int(got)
            }
            return offset
        }

        /// Verifies the checksum, which libzip does when the end is reached.
        func finish() throws {
            var extra: UInt8 = 0
            let more = try withUnsafeMutableBytes(of: &extra) { try read(into: $0) }
            guard more == 0 else { throw EngineError(.data, "\(archive.path): \(name): more data than its header says") }
        }
    }
}
