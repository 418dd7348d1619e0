import COnnxRuntime

/// How a session is set up.
public struct SessionOptions: Sendable {
    /// How far ONNX Runtime rewrites a graph before it runs it.
    public enum OptimizationLevel: Int32, Sendable, Hashable, CaseIterable {
        /// The graph as it is.
        case disable = 0
        /// Constant folding, redundant nodes, fusions that keep to standard operators.
        case basic = 1
        /// Fusions into the runtime's own operators.
        case extended = 2
        /// Blocked memory layouts for convolutions as well.
        case layout = 3
        /// Everything, as a deployment would.
        case all = 99
    }

    /// Threads within one operator, the caller's included; 0 lets the runtime take one per core. One thread and one
    /// caller per core is the fastest way to run many small batches.
    public var intraOpThreads = 1
    /// Threads across operators; without effect unless `runsBranchesInParallel`.
    public var interOpThreads = 1
    /// Run independent branches of the graph at once.
    public var runsBranchesInParallel = false
    public var graphOptimizationLevel = OptimizationLevel.all
    /// Plan memory from the shapes of the first run: good when shapes stay the same.
    public var memoryPattern = true
    /// Keep freed memory for later runs.
    public var memoryArena = true
    /// Treat denormals as zero, on the runtime's threads and, during each run, on the calling thread.
    public var flushesDenormals = false
    /// Have idle threads of the runtime spin, which is fastest when nothing else wants the cores; nil leaves the
    /// runtime's default.
    public var spinsWhenIdle: Bool?
    /// Fixes symbolic dimensions by name, such as `["batch": 1]`, which lets the runtime fold more of the graph.
    public var freeDimensions: [String: Int] = [:]
    /// Any other entry of the runtime's session configuration, such as `"session.disable_prepacking": "1"`.
    public var configuration: [String: String] = [:]
    /// Profile every run into a file that starts so; see `Session.endProfiling()`.
    public var profilingFilePrefix: String?
    /// Where to write the graph as the runtime rewrote it.
    public var optimizedModelPath: String?
    /// Weights by name, for initializers that the model declares as external data. Their memory is shared, not copied,
    /// and is kept alive and read-locked by the session. Correct at every optimization level, unlike the runtime's
    /// older `AddInitializer`, which lathe never calls.
    public var externalInitializers: [(name: String, value: Value)] = []

    public init() {}
}

extension SessionOptions {
    /// Calls `body` with these options in the runtime's form.
    func withHandle<R>(
        library: RuntimeLibrary, label: String, doing: String,
        _ body: (OpaquePointer) throws(OnnxRuntimeError) -> R
    ) throws(OnnxRuntimeError) -> R {
        let api = library.api
        var created: OpaquePointer?
        try library.check(api.pointee.CreateSessionOptions(&created), doing: doing)
        guard let handle = created else {
            throw .failed(code: .fail, message: "no session options came back", doing: doing)
        }
        defer { api.pointee.ReleaseSessionOptions(handle) }

        func set(_ status: OpaquePointer?) throws(OnnxRuntimeError) { try library.check(status, doing: doing) }
        try set(api.pointee.SetSessionLogId(handle, label.onOneLine))
        try set(api.pointee.SetIntraOpNumThreads(handle, Int32(clamping: max(0, intraOpThreads))))
        try set(api.pointee.SetInterOpNumThreads(handle, Int32(clamping: max(0, interOpThreads))))
        try set(api.pointee.SetSessionExecutionMode(handle, runsBranchesInParallel ? 1 : 0))
        try set(api.pointee.SetSessionGraphOptimizationLevel(handle, graphOptimizationLevel.rawValue))
        try set(
            memoryPattern ? api.pointee.EnableMemPattern(handle) : api.pointee.DisableMemPattern(handle))
        try set(memoryArena ? api.pointee.EnableCpuMemArena(handle) : api.pointee.DisableCpuMemArena(handle))
        if let profilingFilePrefix { try set(api.pointee.EnableProfiling(handle, profilingFilePrefix)) }
        if let optimizedModelPath { try set(api.pointee.SetOptimizedModelFilePath(handle, optimizedModelPath)) }
        for (name, extent) in freeDimensions {
            try set(api.pointee.AddFreeDimensionOverrideByName(handle, name, Int64(extent)))
        }
        for (key, value) in allConfiguration { try set(api.pointee.AddSessionConfigEntry(handle, key, value)) }
        try addExternalInitializers(to: handle, library: library, doing: doing)
        return try body(handle)
    }

    /// The entries, those of the named options first so that `configuration` can override them.
    private var allConfiguration: [(key: String, value: String)] {
        var entries: [String: String] = [:]
        if flushesDenormals { entries["session.set_denormal_as_zero"] = "1" }
        if let spinsWhenIdle {
            entries["session.intra_op.allow_spinning"] = spinsWhenIdle ? "1" : "0"
            entries["session.inter_op.allow_spinning"] = spinsWhenIdle ? "1" : "0"
        }
        return entries.merging(configuration) { $1 }.sorted { $0.key < $1.key }
    }

    private func addExternalInitializers(
        to handle: OpaquePointer, library: RuntimeLibrary, doing: String
    ) throws(OnnxRuntimeError) {
        guard !externalInitializers.isEmpty else { return }
        for (name, value) in externalInitializers where value.kind != .tensor || value.elementType == .string {
            throw .invalidInput(
                name: name, reason: "is an initializer, and \(value.typeDescription) cannot be one", doing: doing)
        }
        for (name, value) in externalInitializers where value.library !== library {
            throw .invalidInput(name: name, reason: "belongs to another copy of the library", doing: doing)
        }
        let names = NameTable(externalInitializers.map(\.name))
        let values = externalInitializers.map(\.value.handle)
        try library.check(
            library.api.pointee.AddExternalInitializers(handle, names.pointers, values, values.count), doing: doing)
    }
}

/// Names as C strings, made once and kept: the runtime takes names by pointer at every run.
///
/// `@unchecked Sendable`: the strings are written in `init` and freed in `deinit`, and only read in between.
final class NameTable: @unchecked Sendable {
    let strings: [String]
    let pointers: [UnsafePointer<CChar>]
    private let indices: [String: Int]

    convenience init(_ strings: [String]) {
        self.init(bytes: strings.map { Array($0.utf8) })
    }

    /// - Parameter bytes: Each name as the runtime has it, which need not be UTF-8. A repaired name finds the true one.
    init(bytes: [[UInt8]]) {
        strings = bytes.map { String(decoding: $0, as: UTF8.self) }
        pointers = bytes.map { name in
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: name.count + 1)
            for (offset, byte) in name.enumerated() { (copy + offset).initialize(to: CChar(bitPattern: byte)) }
            (copy + name.count).initialize(to: 0)
            return UnsafePointer(copy)
        }
        indices = Dictionary(strings.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    deinit { for pointer in pointers { pointer.deallocate() } }

    func index(of name: String) -> Int? { indices[name] }
}
