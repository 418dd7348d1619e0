import COnnxRuntime
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Where libonnxruntime is looked for.
enum LibrarySearch {
    struct Candidate: Equatable {
        var path: String
        var origin: String
    }

    static let environmentVariable = "LATHE_ONNXRUNTIME"

    /// The one library the user named, by argument or by environment; nil when none was named. It is then used or
    /// refused, never passed over: a measurement on another build than the one asked for would be a lie.
    static func named(path: String?, environment: [String: String]) -> Candidate? {
        let (given, origin) =
            if let path { (path, "the caller") } else { (environment[environmentVariable] ?? "", environmentVariable) }
        guard !given.isEmpty else { return nil }
        return Candidate(path: libraries(in: given).first ?? given, origin: origin)
    }

    /// Every other place, best first: `../lib/lathe` beside the executable's folder, where a package keeps its own;
    /// `.deps/onnxruntime` in the folder of the executable and those above it, so that a build finds the library of its
    /// own repository; the system's loader and library folders; and last
    /// `.deps/onnxruntime` in the current directory, for an installed program used in the repository.
    ///
    /// The last is last on purpose, and only taken where nobody else could have put it: a folder with models in it comes
    /// from anywhere, and a library found there runs with the user's rights.
    static func candidates() -> [Candidate] {
        var found: [Candidate] = []
        for folder in startingFolders() {
            let packaged = ((folder as NSString).deletingLastPathComponent as NSString).appendingPathComponent("lib/lathe")
            found += libraries(in: packaged).map { Candidate(path: $0, origin: packaged) }
        }
        for folder in startingFolders() {
            for parent in ancestors(of: folder) {
                let place = (parent as NSString).appendingPathComponent(".deps/onnxruntime")
                found += libraries(in: place).map { Candidate(path: $0, origin: place) }
            }
        }
        found += ["libonnxruntime.so.1", "libonnxruntime.so", "libonnxruntime.dylib"]
            .filter { $0.hasSuffix(".dylib") == onDarwin }
            .map { Candidate(path: $0, origin: "the system's loader") }
        for folder in systemFolders {
            found += libraries(in: folder).map { Candidate(path: $0, origin: folder) }
        }
        let here = currentPlace
        if isPrivate(here) {
            found += libraries(in: here).filter(isPrivate).map { Candidate(path: $0, origin: here) }
        }
        var seen: Set<String> = []
        return found.filter { seen.insert($0.path).inserted }
    }

    /// Where `candidates` looked even if it found no file there, for the error message.
    static func placesWithoutFiles() -> [LibraryAttempt] {
        startingFolders().map { folder in
            LibraryAttempt(
                path: ".deps/onnxruntime/libonnxruntime.so* in \(folder) and the folders above it",
                origin: folder, reason: "no such file")
        } + [LibraryAttempt(path: currentPlace, origin: currentPlace, reason: "no library there, or not only yours")]
    }

    /// The libraries in `folder`, the newest first; none when it is no folder.
    private static func libraries(in folder: String) -> [String] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return [] }
        return
            names
            .filter { $0.hasPrefix("libonnxruntime.") && ($0.contains(".so") || $0.hasSuffix(".dylib")) }
            .sorted { $0.compare($1, options: .numeric) == .orderedDescending }
            .map { (folder as NSString).appendingPathComponent($0) }
    }

    private static var currentPlace: String {
        (FileManager.default.currentDirectoryPath as NSString).appendingPathComponent(".deps/onnxruntime")
    }

    /// Whether a file or folder belongs to this user or to root, and nobody else can write it.
    private static func isPrivate(_ path: String) -> Bool {
        var information = stat()
        guard stat(path, &information) == 0 else { return false }
        return (information.st_uid == geteuid() || information.st_uid == 0)
            && information.st_mode & (S_IWGRP | S_IWOTH) == 0
    }

    /// The folder of the executable, and of the binary that holds this very code (a test bundle, for one).
    private static func startingFolders() -> [String] {
        var files = [
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? Bundle.main.executablePath
        ]
        files.append(lathe_own_image_path().map { String(cString: $0) })
        var seen: Set<String> = []
        return
            files
            .compactMap { $0 }
            // The loader knows a program by the name it was called with, which may lead anywhere.
            .filter { $0.hasPrefix("/") }
            .map { (URL(fileURLWithPath: $0).resolvingSymlinksInPath().path as NSString).deletingLastPathComponent }
            .filter { seen.insert($0).inserted }
    }

    private static func ancestors(of folder: String) -> [String] {
        var folders = [folder]
        while let last = folders.last, last != "/", !last.isEmpty, folders.count < 64 {
            folders.append((last as NSString).deletingLastPathComponent)
        }
        return folders
    }

    private static let systemFolders = [
        "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
        "/opt/homebrew/lib",
    ]

    #if canImport(Darwin)
    private static let onDarwin = true
    #else
    private static let onDarwin = false
    #endif
}
