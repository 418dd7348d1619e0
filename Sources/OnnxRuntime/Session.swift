import COnnxRuntime
import Foundation

/// How a session is made.
public struct SessionOptions: Sendable {
    public enum OptimizationLevel: Int32, Sendable {
        case disable = 0
        case basic = 1
        case extended = 2
        case all = 99
    }

    public var intraOpThreads = 1
    public var interOpThreads = 1
    public var graphOptimizationLevel: OptimizationLevel = .all
    public var memoryPattern = true
    public var memoryArena = true
    /// Further settings by the runtime's own keys.
    public var configuration: [String: String] = [:]
    /// Profile each run into a file that begins with this path.
    public var profilingFilePrefix: String?
    /// Initializers declared external in the model, handed over in memory that their owners keep alive.
    public var externalInitializers: [(name: String, value: Value)] = []

    public init() {}
}

/// Options of one run, through which it can be stopped from another thread.
///
/// `@unchecked Sendable`: the runtime documents setting the flag from any thread; nothing else changes after `init`.
public final class RunOptions: @unchecked Sendable {
    let handle: OpaquePointer
    private let library: RuntimeLibrary

    public init(library: RuntimeLibrary) throws(OnnxRuntimeError) {
        var handle: OpaquePointer?
        try library.check(library.api.CreateRunOptions(&handle), doing: "preparing a run")
        guard let handle else { throw .invalidValue(reason: "no run options came back") }
        self.handle = handle
        self.library = library
    }

    deinit { library.api.ReleaseRunOptions(handle) }

    /// Stops the runs that use these options at the next operator.
    public func terminate() {
        if let status = library.api.RunOptionsSetTerminate(handle) { library.api.ReleaseStatus(status) }
    }
}

/// A model made ready to run.
///
/// `@unchecked Sendable`: the handle is immutable after `init`, and `OrtSession::Run` may be called from many threads.
public final class Session: @unchecked Sendable {
    public let library: RuntimeLibrary
    public let label: String
    public let inputNames: [String]
    public let outputNames: [String]
    private let handle: OpaquePointer
    /// Memory of external initializers, which the session may read as long as it lives.
    private let initializers: [Value]
    /// C strings of names, made once: a run then allocates none.
    private let names: [String: UnsafeMutablePointer<CChar>]

    /// A session from a model in memory, which is not kept.
    public convenience init(library: RuntimeLibrary, model: UnsafeRawBufferPointer, options: SessionOptions, label: String) throws(OnnxRuntimeError) {
        guard let base = model.baseAddress else { throw .invalidValue(reason: "the model is empty") }
        let made = try Self.make(library, options, label) { settings, session in
            library.api.CreateSessionFromArray(library.environment, base, model.count, settings, &session)
        }
        try self.init(made, library: library, options: options, label: label)
    }

    /// A session from a file, beside which external data is found.
    public convenience init(library: RuntimeLibrary, path: String, options: SessionOptions, label: String) throws(OnnxRuntimeError) {
        let made = try Self.make(library, options, label) { settings, session in
            library.api.CreateSession(library.environment, path, settings, &session)
        }
        try self.init(made, library: library, options: options, label: label)
    }

    private static func make(
        _ library: RuntimeLibrary, _ options: SessionOptions, _ label: String,
        create: (_ settings: OpaquePointer, _ session: inout OpaquePointer?) -> OpaquePointer?
    ) throws(OnnxRuntimeError) -> OpaquePointer {
        let api = library.api
        let doing = "loading \(label)"
        var settings: OpaquePointer?
        try library.check(api.CreateSessionOptions(&settings), doing: doing)
        guard let settings else { throw .invalidValue(reason: "no session options came back") }
        defer { api.ReleaseSessionOptions(settings) }
        try library.check(api.SetIntraOpNumThreads(settings, Int32(options.intraOpThreads)), doing: doing)
        try library.check(api.SetInterOpNumThreads(settings, Int32(options.interOpThreads)), doing: doing)
        try library.check(
            api.SetSessionGraphOptimizationLevel(settings, options.graphOptimizationLevel.rawValue),
            doing: doing)
        if !options.memoryPattern { try library.check(api.DisableMemPattern(settings), doing: doing) }
        if !options.memoryArena { try library.check(api.DisableCpuMemArena(settings), doing: doing) }
        // Idle workers must not spin: the machine is being measured, and others wait for its cores.
        var entries = options.configuration
        if entries["session.intra_op.allow_spinning"] == nil, options.intraOpThreads == 1 { entries["session.intra_op.allow_spinning"] = "0" }
        for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
            try library.check(api.AddSessionConfigEntry(settings, key, value), doing: doing)
        }
        if let prefix = options.profilingFilePrefix { try library.check(api.EnableProfiling(settings, prefix), doing: doing) }
        if !options.externalInitializers.isEmpty {
            let names = options.externalInitializers.map { strdup($0.name) }
            defer { for name in names { free(name) } }
            let pointers = names.compactMap { $0.map { UnsafePointer($0) } }
            let handles = options.externalInitializers.map(\.value.handle)
            try library.check(api.AddExternalInitializers(settings, pointers, handles, pointers.count), doing: doing)
        }
        var session: OpaquePointer?
        try library.check(create(settings, &session), doing: doing)
        guard let session else { throw .invalidValue(reason: "no session came back") }
        return session
    }

    private init(_ handle: OpaquePointer, library: RuntimeLibrary, options: SessionOptions, label: String) throws(OnnxRuntimeError) {
        self.handle = handle
        self.library = library
        self.label = label
        initializers = options.externalInitializers.map(\.value)
        let api = library.api
        func list(
            _ count: (OpaquePointer, inout Int) -> OpaquePointer?,
            _ name: (OpaquePointer, Int, inout UnsafeMutablePointer<CChar>?) -> OpaquePointer?
        ) -> [String] {
            var total = 0
            if let status = count(handle, &total) {
                api.ReleaseStatus(status)
                return []
            }
            return (0..<total).compactMap { index in
                var text: UnsafeMutablePointer<CChar>?
                if let status = name(handle, index, &text) {
                    api.ReleaseStatus(status)
                    return nil
                }
                return library.takeString(text)
            }
        }
        inputNames = list({ api.SessionGetInputCount($0, &$1) }, { api.SessionGetInputName($0, $1, library.allocator, &$2) })
        outputNames = list({ api.SessionGetOutputCount($0, &$1) }, { api.SessionGetOutputName($0, $1, library.allocator, &$2) })
        var names: [String: UnsafeMutablePointer<CChar>] = [:]
        for name in inputNames + outputNames where names[name] == nil { names[name] = strdup(name) }
        self.names = names
    }

    deinit {
        library.api.ReleaseSession(handle)
        for name in names.values { free(name) }
    }

    /// Runs the model. May be called from several threads at once.
    /// - Throws: `.terminated` after `RunOptions.terminate()`; `.invalidInput` for a name the model does not have; `.failed` otherwise.
    public func run(inputs: [(String, Value)], outputs: [String], options: RunOptions? = nil) throws(OnnxRuntimeError) -> [Value] {
        var inputPointers: [UnsafePointer<CChar>] = []
        var handles: [OpaquePointer] = []
        inputPointers.reserveCapacity(inputs.count)
        handles.reserveCapacity(inputs.count)
        for (name, value) in inputs {
            // Optimisation may have dropped an input nobody reads; the runtime still lists it.
            guard let pointer = names[name] else { throw .invalidInput(name: name, reason: "the model has no such input", doing: "running \(label)") }
            inputPointers.append(UnsafePointer(pointer))
            handles.append(value.handle)
        }
        var outputPointers: [UnsafePointer<CChar>] = []
        for name in outputs {
            guard let pointer = names[name] else { throw .invalidOutput(name: name, reason: "the model has no such output", doing: "running \(label)") }
            outputPointers.append(UnsafePointer(pointer))
        }
        var results = [OpaquePointer?](repeating: nil, count: outputs.count)
        let status = library.api.Run(
            handle, options?.handle, inputPointers, handles, handles.count, outputPointers, outputPointers.count, &results)
        withExtendedLifetime((inputs, options)) {}
        if let status {
            for result in results { if let result { library.api.ReleaseValue(result) } }
            let error = RuntimeLibrary.error(status, library.table, doing: "running \(label)")
            if case .failed(_, let message, let doing) = error, message.lowercased().contains("terminate") { throw .terminated(doing: doing) }
            throw error
        }
        var values: [Value] = []
        values.reserveCapacity(results.count)
        for result in results {
            guard let result else { throw .invalidValue(reason: "an output did not come back") }
            values.append(Value(taking: result, library: library))
        }
        return values
    }

    /// Ends profiling and returns the path of the profile.
    public func endProfiling() throws(OnnxRuntimeError) -> String {
        var text: UnsafeMutablePointer<CChar>?
        try library.check(library.api.SessionEndProfiling(handle, library.allocator, &text), doing: "ending the profile of \(label)")
        guard let path = library.takeString(text) else { throw .unreadableProfile(path: "", reason: "no path came back") }
        return path
    }
}
