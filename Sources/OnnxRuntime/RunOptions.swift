import COnnxRuntime
import Synchronization

/// Options of runs, and the handle by which another thread stops them.
///
/// `@unchecked Sendable`: the handle never changes and is released with the last reference. ONNX Runtime documents
/// setting the terminate flag from another thread as the way to stop a run; nothing else is changed after `init`.
public final class RunOptions: @unchecked Sendable {
    let handle: OpaquePointer
    private let library: RuntimeLibrary
    private let terminated = Atomic<Bool>(false)

    /// - Parameter configuration: Entries of the runtime's run configuration, such as
    ///   `"memory.enable_memory_arena_shrinkage": "cpu:0"`.
    public init(library: RuntimeLibrary, configuration: [String: String] = [:]) throws(OnnxRuntimeError) {
        let doing = "making run options"
        var handle: OpaquePointer?
        try library.check(library.api.pointee.CreateRunOptions(&handle), doing: doing)
        guard let handle else { throw .failed(code: .fail, message: "none came back", doing: doing) }
        for (key, value) in configuration {
            if let status = library.api.pointee.AddRunConfigEntry(handle, key, value) {
                library.api.pointee.ReleaseRunOptions(handle)
                throw RuntimeLibrary.error(status, library.api, doing: doing)
            }
        }
        self.handle = handle
        self.library = library
    }

    deinit { library.api.pointee.ReleaseRunOptions(handle) }

    /// Stops the runs under way with these options, from any thread, and refuses later ones. A run stops between two
    /// nodes, so the longest node bounds the wait; it then throws `.terminated`.
    public func terminate() {
        terminated.store(true, ordering: .releasing)
        if let status = library.api.pointee.RunOptionsSetTerminate(handle) {
            library.api.pointee.ReleaseStatus(status)
        }
    }

    /// Whether `terminate` was called.
    public var isTerminated: Bool { terminated.load(ordering: .acquiring) }
}
