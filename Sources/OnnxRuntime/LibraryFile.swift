import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Looks at a shared library before the system's loader does. The loader maps what the headers speak of: of a file that was cut short (a copy that
/// was interrupted, a full disk) the pages that are missing end the process.
enum LibraryFile {
    /// Why the file is not to be opened, in words; `nil` if nothing speaks against it.
    static func problem(_ path: String) -> String? {
        // O_NONBLOCK: opening a pipe without a writer must not wait for one.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return errno == ENOENT ? "no such file" : String(cString: strerror(errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return "not a regular file" }
        #if canImport(Darwin)
        return nil
        #else
        return ELFExtent(descriptor, fileBytes: UInt64(status.st_size)).problem
        #endif
    }
}

/// How far into the file an ELF library's headers reach (System V ABI, chapters 4 and 5).
private struct ELFExtent {
    private(set) var problem: String?

    init(_ descriptor: Int32, fileBytes: UInt64) {
        func bytes(_ offset: UInt64, _ count: Int) -> [UInt8]? {
            guard offset <= fileBytes, UInt64(count) <= fileBytes - offset else { return nil }
            var buffer = [UInt8](repeating: 0, count: count)
            return pread(descriptor, &buffer, count, off_t(offset)) == count ? buffer : nil
        }
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        let cut = "it is cut short: its headers speak of more than the \(fileBytes) bytes it has"
        guard let start = bytes(0, 4), start == [0x7F, 0x45, 0x4C, 0x46] else {
            problem = fileBytes == 0 ? "the file is empty" : "not a shared library: it has no ELF header"
            return
        }
        guard let header = bytes(0, 64) else {
            problem = cut
            return
        }
        // Another class or byte order is another machine's, which the loader says by itself.
        guard header[4] == 2, header[5] == 1 else { return }
        let (programs, sections) = (number(header[32..<40]), number(header[40..<48]))
        let (programSize, programCount) = (Int(number(header[54..<56])), Int(number(header[56..<58])))
        let (sectionSize, sectionCount) = (Int(number(header[58..<60])), Int(number(header[60..<62])))
        guard let table = bytes(programs, programSize * programCount), sections == 0 || bytes(sections, sectionSize * sectionCount) != nil else {
            problem = cut
            return
        }
        guard programSize >= 56, programCount > 0 else {
            problem = "not a shared library: it has no program headers"
            return
        }
        for place in 0..<programCount {
            let entry = table[(place * programSize)..<((place + 1) * programSize)]
            let first = entry.startIndex
            let (offset, count) = (number(entry[(first + 8)..<(first + 16)]), number(entry[(first + 32)..<(first + 40)]))
            guard offset <= fileBytes, count <= fileBytes - offset else {
                problem = cut
                return
            }
        }
    }
}
