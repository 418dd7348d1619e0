import COnnxRuntime

/// A model made ready to run.
///
/// `@unchecked Sendable`: every stored property is immutable after `init`, and ONNX Runtime documents a session's `Run`
/// as callable from several threads at once. The handle is released with the last reference, when no call can be
/// under way.
public final class Session: @unchecked Sendable {
    /// What errors call this session: a model's file, a candidate.
    public let label: String
    /// The inputs that every run must be given.
    public let inputs: [ValueDescription]
    public let outputs: [ValueDescription]
    /// Initializers that a run may replace, because the model lists them as inputs as well.
    public let overridableInitializers: [ValueDescription]
    public let library: RuntimeLibrary
    public let flushesDenormals: Bool

    public var inputNames: [String] { inputs.map(\.name) }
    public var outputNames: [String] { outputs.map(\.name) }

    let handle: OpaquePointer
    /// Names of `inputs`, then of `overridableInitializers`.
    let inputTable: NameTable
    let outputTable: NameTable
    private let isProfiling: Bool
    /// The memory of the external initializers, alive and unwritten as long as the session.
    private let initializers: [ReadHold]

    /// Makes a session of a model in memory. The bytes are not needed afterwards.
    ///
    /// - Parameters:
    ///   - model: A serialized `ModelProto`, at most 2 GB. Weights in external files need `init(path:)` or
    ///     `SessionOptions.externalInitializers`.
    ///   - label: What errors call it.
    /// - Throws: `.failed` when the runtime refuses it: damaged, an operator it lacks, an inconsistent graph.
    public convenience init(
        library: RuntimeLibrary, model: UnsafeRawBufferPointer, options: SessionOptions = SessionOptions(),
        label: String
    ) throws(OnnxRuntimeError) {
        try self.init(.bytes(model), options, label, library)
    }

    /// Makes a session of a model in memory.
    public convenience init(
        library: RuntimeLibrary, model: [UInt8], options: SessionOptions = SessionOptions(), label: String
    ) throws(OnnxRuntimeError) {
        try self.init(.array(model), options, label, library)
    }

    /// Makes a session of a model file; external data is looked for beside it.
    public convenience init(
        library: RuntimeLibrary, path: String, options: SessionOptions = SessionOptions(), label: String? = nil
    ) throws(OnnxRuntimeError) {
        try self.init(.path(path), options, label ?? path, library)
    }

    private enum Source {
        case bytes(UnsafeRawBufferPointer)
        case array([UInt8])
        case path(String)
    }

    private init(
        _ source: Source, _ options: SessionOptions, _ label: String, _ library: RuntimeLibrary
    ) throws(OnnxRuntimeError) {
        let doing = "loading \(label)"
        var holds: [ReadHold] = []
        for value in options.externalInitializers.map(\.value) { holds.append(try ReadHold(value)) }
        let handle = try Self.create(source, options, label, library, doing: doing)
        let described: Descriptions
        do throws(OnnxRuntimeError) {
            described = try Descriptions(of: handle, library: library, doing: doing)
        } catch {
            library.api.pointee.ReleaseSession(handle)
            throw error
        }
        self.handle = handle
        self.label = label
        self.library = library
        inputs = described.inputs.values
        outputs = described.outputs.values
        overridableInitializers = described.overridable.values
        inputTable = NameTable(bytes: described.inputs.names + described.overridable.names)
        outputTable = NameTable(bytes: described.outputs.names)
        flushesDenormals = options.flushesDenormals
        isProfiling = options.profilingFilePrefix != nil
        initializers = holds
    }

    deinit { library.api.pointee.ReleaseSession(handle) }

    private static func create(
        _ source: Source, _ options: SessionOptions, _ label: String, _ library: RuntimeLibrary, doing: String
    ) throws(OnnxRuntimeError) -> OpaquePointer {
        let api = library.api
        let environment = library.environment
        let handle = try options.withHandle(library: library, label: label, doing: doing) {
            options throws(OnnxRuntimeError) in
            var handle: OpaquePointer?
            func load(_ bytes: UnsafeRawBufferPointer) -> OpaquePointer? {
                guard let base = bytes.baseAddress, !bytes.isEmpty else { return nil }
                return api.pointee.CreateSessionFromArray(environment, base, bytes.count, options, &handle)
            }
            // Making a session can change how this very thread treats denormals.
            let status = Denormals.preserving {
                switch source {
                case .bytes(let bytes): load(bytes)
                case .array(let bytes): bytes.withUnsafeBytes(load)
                case .path(let path): api.pointee.CreateSession(environment, path, options, &handle)
                }
            }
            try library.check(status, doing: doing)
            return handle
        }
        guard let handle else { throw .failed(code: .noModel, message: "the model is empty", doing: doing) }
        return handle
    }

    /// The description of the input or overridable initializer at `index` of `inputTable`.
    func inputDescription(_ index: Int) -> ValueDescription {
        index < inputs.count ? inputs[index] : overridableInitializers[index - inputs.count]
    }

    // MARK: Profiling

    /// Ends the profile begun with `SessionOptions.profilingFilePrefix`, once, when no run is under way.
    ///
    /// - Returns: The path of the file written; read it with `ProfileReport`.
    public func endProfiling() throws(OnnxRuntimeError) -> String {
        let doing = "ending the profile of \(label)"
        guard isProfiling else {
            throw .failed(code: .invalidArgument, message: "profiling was not switched on", doing: doing)
        }
        var path: UnsafeMutablePointer<CChar>?
        try library.check(library.api.pointee.SessionEndProfiling(handle, library.allocator, &path), doing: doing)
        guard let path = library.takeString(path), !path.isEmpty else {
            throw .failed(code: .fail, message: "no profile was written", doing: doing)
        }
        return path
    }
}

/// What a session says about its values.
private struct Descriptions {
    /// Names as bytes, for the runtime, and descriptions, for people.
    struct List {
        var names: [[UInt8]] = []
        var values: [ValueDescription] = []
    }

    private typealias NameGetter =
        @convention(c) (OpaquePointer, Int, OpaquePointer, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) ->
        OpaquePointer?
    private typealias TypeGetter =
        @convention(c) (OpaquePointer, Int, UnsafeMutablePointer<OpaquePointer?>) -> OpaquePointer?

    var inputs: List
    var outputs: List
    var overridable: List

    init(of session: OpaquePointer, library: RuntimeLibrary, doing: String) throws(OnnxRuntimeError) {
        func read(
            _ counter: @convention(c) (OpaquePointer, UnsafeMutablePointer<Int>) -> OpaquePointer?,
            _ nameGetter: NameGetter, _ typeGetter: TypeGetter
        ) throws(OnnxRuntimeError) -> List {
            var count = 0
            try library.check(counter(session, &count), doing: doing)
            var list = List()
            for index in 0..<count {
                var text: UnsafeMutablePointer<CChar>?
                try library.check(nameGetter(session, index, library.allocator, &text), doing: doing)
                let bytes = text.map { Array(UnsafeRawBufferPointer(start: $0, count: length(of: $0))) } ?? []
                let name = library.takeString(text) ?? ""
                var type: OpaquePointer?
                try library.check(typeGetter(session, index, &type), doing: doing)
                guard let type else { throw .failed(code: .fail, message: "'\(name)' has no type", doing: doing) }
                defer { library.api.pointee.ReleaseTypeInfo(type) }
                list.names.append(bytes)
                list.values.append(try ValueDescription(name: name, type: type, library: library, doing: doing))
            }
            return list
        }
        let api = library.api
        inputs = try read(
            api.pointee.SessionGetInputCount, api.pointee.SessionGetInputName, api.pointee.SessionGetInputTypeInfo)
        outputs = try read(
            api.pointee.SessionGetOutputCount, api.pointee.SessionGetOutputName, api.pointee.SessionGetOutputTypeInfo)
        overridable = try read(
            api.pointee.SessionGetOverridableInitializerCount, api.pointee.SessionGetOverridableInitializerName,
            api.pointee.SessionGetOverridableInitializerTypeInfo)
    }
}

private func length(of text: UnsafePointer<CChar>) -> Int {
    var length = 0
    while text[length] != 0 { length += 1 }
    return length
}
