import COnnxRuntime
import Foundation
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// ONNX Runtime, opened with `dlopen`: the user may point lathe at the very build they deploy on.
///
/// One environment per library and process; loading the same file again returns the same object. It is never
/// unloaded, for the runtime keeps threads and static state of its own until the process ends.
///
/// `@unchecked Sendable`: every stored property is immutable after `init`. The table and the handles behind the
/// pointers are documented by ONNX Runtime as usable from any thread, and none is ever released.
public final class RuntimeLibrary: @unchecked Sendable {
    /// The file that was loaded.
    public let path: String
    public let version: RuntimeVersion
    /// How the library was built, in its own words; empty when it does not say.
    public let buildInformation: String
    /// What the runtime has said, instead of on stderr.
    public let log: RuntimeLog

    /// The library's own table. Its later slots exist only in later releases, so it is never copied, and every function
    /// is called as `api.pointee.Function`.
    let api: UnsafePointer<OrtApi>
    let environment: OpaquePointer
    /// The default allocator: plain aligned memory, not the arena.
    let allocator: OpaquePointer
    /// Describes memory of the processor that somebody else owns.
    let processorMemory: OpaquePointer

    /// Loads the library, or returns it if it is loaded already.
    ///
    /// - Parameter path: The library's file, or a folder that holds it. Without one, the environment variable
    ///   `LATHE_ONNXRUNTIME` decides; without that, `.deps/onnxruntime` in the executable's folder and the folders
    ///   above it, then the system. A library that was named and does not work is an error; it is not replaced.
    /// - Throws: `.libraryUnusable` for one that was named, `.libraryNotFound` with everything that was tried.
    public static func load(path: String? = nil) throws(OnnxRuntimeError) -> RuntimeLibrary {
        if let named = LibrarySearch.named(path: path, environment: ProcessInfo.processInfo.environment) {
            switch open(named) {
            case .success(let library): return library
            case .failure(let refusal): throw .libraryUnusable(refusal.attempt)
            }
        }
        var tried = LibrarySearch.placesWithoutFiles()
        for candidate in LibrarySearch.candidates() {
            switch open(candidate) {
            case .success(let library): return library
            case .failure(let refusal): tried.append(refusal.attempt)
            }
        }
        throw .libraryNotFound(tried: tried)
    }

    /// The files among which `load(path:)` chooses.
    public static func files(path: String? = nil) -> [String] {
        if let named = LibrarySearch.named(path: path, environment: ProcessInfo.processInfo.environment) { return [named.path] }
        return LibrarySearch.candidates().map(\.path).filter { $0.contains("/") }
    }

    /// The library this process uses: the first that was loaded, whoever named it; if none was, `load()`.
    public static func current() throws(OnnxRuntimeError) -> RuntimeLibrary {
        if let first = loaded.withLock({ $0.first }) { return first }
        return try load()
    }

    static func orCurrent(_ library: RuntimeLibrary?) throws(OnnxRuntimeError) -> RuntimeLibrary {
        if let library { library } else { try current() }
    }

    /// The names of the execution providers in this build, the preferred first.
    public var availableProviders: [String] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        var count: Int32 = 0
        if let status = api.pointee.GetAvailableProviders(&names, &count) {
            api.pointee.ReleaseStatus(status)
            return []
        }
        defer {
            if let status = api.pointee.ReleaseAvailableProviders(names, count) { api.pointee.ReleaseStatus(status) }
        }
        return (0..<Int(count)).compactMap { names?[$0].map { String(cString: $0) } }
    }

    // MARK: Opening

    private struct Refusal: Error {
        var attempt: LibraryAttempt
    }

    /// Loaded libraries by the address of their function table: two paths to one file are one library.
    private static let loaded = Mutex<Loaded>(Loaded())

    private struct Loaded {
        var libraries: [UnsafeRawPointerKey: RuntimeLibrary] = [:]
        var first: RuntimeLibrary?
    }

    private struct UnsafeRawPointerKey: Hashable, Sendable {
        var bits: UInt
        init(_ pointer: UnsafePointer<OrtApi>) { bits = UInt(bitPattern: pointer) }
    }

    /// A tool for local work sends nothing anywhere. Switching telemetry off through the interface comes too late: opened, the library has already
    /// looked up its maker's host and written an identity of the device into the user's cache.
    private static let telemetryIsOff: Void = { setenv("ORT_DISABLE_TELEMETRY", "1", 1) }()

    private static func open(_ candidate: LibrarySearch.Candidate) -> Result<RuntimeLibrary, Refusal> {
        func refuse(_ reason: String) -> Result<RuntimeLibrary, Refusal> {
            .failure(
                Refusal(attempt: LibraryAttempt(path: candidate.path, origin: candidate.origin, reason: reason)))
        }
        // A name without a folder is the loader's to find.
        if candidate.path.contains("/"), let problem = LibraryFile.problem(candidate.path) { return refuse(problem) }
        _ = telemetryIsOff
        guard let handle = dlopen(candidate.path, RTLD_NOW | RTLD_LOCAL) else {
            return refuse(dlerror().map { String(cString: $0).onOneLine } ?? "cannot be loaded")
        }
        guard let symbol = dlsym(handle, "OrtGetApiBase"), let base = lathe_ort_api_base(symbol) else {
            dlclose(handle)
            return refuse("it is not ONNX Runtime: OrtGetApiBase is missing")
        }
        // The version first: asked for a table it does not have, an old library writes to stderr.
        let text = base.pointee.GetVersionString().map { String(cString: $0) } ?? ""
        guard let version = RuntimeVersion(text) else {
            return refuse("its version '\(text.onOneLine)' cannot be read")
        }
        guard version >= .oldestSupported, let table = base.pointee.GetApi(17) else {
            return refuse("it is release \(version), and \(RuntimeVersion.oldestSupported) or later is needed")
        }
        return loaded.withLock { loaded in
            let key = UnsafeRawPointerKey(table)
            if let library = loaded.libraries[key] { return .success(library) }
            let path = lathe_image_path(symbol).map { String(cString: $0) }
            do throws(OnnxRuntimeError) {
                let library = try RuntimeLibrary(path: path ?? candidate.path, version: version, table: table)
                loaded.libraries[key] = library
                if loaded.first == nil { loaded.first = library }
                return .success(library)
            } catch {
                return refuse(error.description)
            }
        }
    }

    private init(path: String, version: RuntimeVersion, table: UnsafePointer<OrtApi>) throws(OnnxRuntimeError) {
        self.path = path
        self.version = version
        self.api = table
        let api = table
        buildInformation = api.pointee.GetBuildInfoString().map { String(cString: $0) } ?? ""
        let log = RuntimeLog()
        self.log = log

        let starting = "starting ONNX Runtime \(version)"
        var environment: OpaquePointer?
        // The environment may log as long as the process lives, so its log is retained for good.
        try Self.check(
            api.pointee.CreateEnvWithCustomLogger(
                receiveLogMessage, Unmanaged.passRetained(log).toOpaque(), LogSeverity.error, "lathe", &environment),
            table, doing: starting)
        var allocator: OpaquePointer?
        try Self.check(api.pointee.GetAllocatorWithDefaultOptions(&allocator), table, doing: starting)
        var memory: OpaquePointer?
        try Self.check(
            api.pointee.CreateCpuMemoryInfo(
                Int32(LATHE_ORT_DEVICE_ALLOCATOR), Int32(LATHE_ORT_MEMORY_DEFAULT), &memory),
            table, doing: starting)
        guard let environment, let allocator, let memory else {
            throw .failed(code: .fail, message: "no environment came back", doing: starting)
        }
        (self.environment, self.allocator, processorMemory) = (environment, allocator, memory)
        // Again through the interface, for builds that know that one only. Builds without telemetry ignore this.
        if let status = api.pointee.DisableTelemetryEvents(environment) { api.pointee.ReleaseStatus(status) }
    }

    // MARK: Errors

    /// Throws what `status` says, and releases it. A null status is success.
    @inline(__always)
    func check(_ status: OpaquePointer?, doing: @autoclosure () -> String) throws(OnnxRuntimeError) {
        if let status { throw Self.error(status, api, doing: doing()) }
    }

    private static func check(
        _ status: OpaquePointer?, _ table: UnsafePointer<OrtApi>, doing: String
    ) throws(OnnxRuntimeError) {
        if let status { throw error(status, table, doing: doing) }
    }

    /// The error in `status`, which is released.
    static func error(_ status: OpaquePointer, _ table: UnsafePointer<OrtApi>, doing: String) -> OnnxRuntimeError {
        defer { table.pointee.ReleaseStatus(status) }
        let message = table.pointee.GetErrorMessage(status).map { String(cString: $0) } ?? ""
        return .failed(
            code: RuntimeCode(rawValue: table.pointee.GetErrorCode(status)),
            message: message.isEmpty ? "no reason given" : message.onOneLine, doing: doing)
    }

    /// Takes over a C string that the runtime allocated.
    func takeString(_ text: UnsafeMutablePointer<CChar>?) -> String? {
        guard let text else { return nil }
        defer {
            if let status = api.pointee.AllocatorFree(allocator, text) { api.pointee.ReleaseStatus(status) }
        }
        return String(cString: text)
    }
}

enum LogSeverity {
    static let error: Int32 = 3
}

/// Called by the runtime, from any of its threads, with strings that live only until it returns.
private let receiveLogMessage: OrtLoggingFunction = { receiver, severity, _, session, _, message in
    guard let receiver else { return }
    Unmanaged<RuntimeLog>.fromOpaque(receiver).takeUnretainedValue().append(
        RuntimeLog.Message(
            severity: Int(severity),
            session: session.map { String(cString: $0).onOneLine } ?? "",
            text: message.map { String(cString: $0).onOneLine } ?? ""))
}
