import COnnxRuntime

/// Inputs and outputs bound to a session once, for many runs with the same memory: the cheapest way to run a small
/// model over and over. Change the bytes of a bound input with `withUnsafeMutableBytes` between runs.
///
/// Not `Sendable`: one thread at a time. Each thread makes its own; the session is shared.
public final class IOBinding {
    public let session: Session
    private let handle: OpaquePointer
    /// By index of the session's input and output names. Nil for an output that the runtime allocates.
    private var inputs: [Int: Value] = [:]
    private var outputs: [(index: Int, value: Value?)] = []

    public init(_ session: Session) throws(OnnxRuntimeError) {
        let doing = "binding \(session.label)"
        var handle: OpaquePointer?
        try session.library.check(
            session.library.api.pointee.CreateIoBinding(session.handle, &handle), doing: doing)
        guard let handle else { throw .failed(code: .fail, message: "no binding came back", doing: doing) }
        self.session = session
        self.handle = handle
    }

    deinit { session.library.api.pointee.ReleaseIoBinding(handle) }

    /// Binds an input or overridable initializer, in place of what was bound before.
    public func bind(input name: String, to value: Value) throws(OnnxRuntimeError) {
        guard let index = session.inputTable.index(of: name) else {
            throw .invalidInput(name: name, reason: "is not one of \(session.inputTable.strings)", doing: doing)
        }
        try session.checkInput(index, value)
        try session.library.check(
            session.library.api.pointee.BindInput(handle, session.inputTable.pointers[index], value.handle),
            doing: doing)
        inputs[index] = value
    }

    /// Binds an output to a tensor of exactly its type and shape, or, without one, has the runtime allocate it in
    /// each run.
    public func bind(output name: String, to value: Value? = nil) throws(OnnxRuntimeError) {
        guard let index = session.outputTable.index(of: name) else {
            throw .invalidOutput(name: name, reason: "is not one of \(session.outputTable.strings)", doing: doing)
        }
        let api = session.library.api
        let pointer = session.outputTable.pointers[index]
        if let value {
            try session.checkOutput(session.outputs[index], value)
            try session.library.check(api.pointee.BindOutput(handle, pointer, value.handle), doing: doing)
        } else {
            try session.library.check(
                api.pointee.BindOutputToDevice(handle, pointer, session.library.processorMemory), doing: doing)
        }
        if let position = outputs.firstIndex(where: { $0.index == index }) {
            outputs[position].value = value
        } else {
            outputs.append((index, value))
        }
    }

    /// Runs with what is bound.
    ///
    /// - Throws: As `Session.run`.
    public func run(options: RunOptions? = nil) throws(OnnxRuntimeError) {
        try session.checkNotTerminated(options)
        let read = Array(inputs.values)
        let written = outputs.compactMap(\.value)
        try session.beginReading(read)
        defer { for value in read { value.endReading() } }
        try session.beginWriting(written)
        defer { for value in written { value.endWriting() } }
        let status = session.withDenormalHandling {
            session.library.api.pointee.RunWithBinding(session.handle, options?.handle, handle)
        }
        if let status {
            if let missing = session.inputs.indices.first(where: { inputs[$0] == nil }) {
                session.library.api.pointee.ReleaseStatus(status)
                throw .invalidInput(name: session.inputs[missing].name, reason: "is not bound", doing: doing)
            }
            throw session.failure(status, options, given: nil)
        }
    }

    /// The outputs of the last run in the order they were bound: the bound tensors themselves, and new values for those
    /// that the runtime allocated.
    public func results() throws(OnnxRuntimeError) -> [Value] {
        let library = session.library
        var list: UnsafeMutablePointer<OpaquePointer?>?
        var count = 0
        try library.check(
            library.api.pointee.GetBoundOutputValues(handle, library.allocator, &list, &count), doing: doing)
        guard let list, count > 0 else { return [] }
        let handles = Array(UnsafeBufferPointer(start: list, count: count))
        if let status = library.api.pointee.AllocatorFree(library.allocator, list) {
            library.api.pointee.ReleaseStatus(status)
        }
        let adopted = try session.adopt(handles)
        guard adopted.count == outputs.count else { return adopted }
        // A second value over the memory of a bound tensor would escape that tensor's access control.
        return zip(outputs, adopted).map { bound, fresh in bound.value ?? fresh }
    }

    private var doing: String { session.doing }
}
