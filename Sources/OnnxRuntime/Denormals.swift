import COnnxRuntime

/// How the calling thread treats denormal (subnormal) numbers.
///
/// Arithmetic on denormals is many times slower on x86. Trained and pruned networks produce them, and ONNX Runtime sets
/// flush-to-zero only on threads it makes itself; the thread that calls `run` must set it on its own.
/// `SessionOptions.flushesDenormals` does both. On processors other than x86 these functions do nothing.
public enum Denormals {
    /// Whether this processor's handling can be changed.
    public static var isSupported: Bool { lathe_denormals_supported() }

    /// Whether the calling thread flushes denormals, both as operands and as results.
    public static var areFlushed: Bool { lathe_float_control_flushes(lathe_float_control_get()) }

    /// Sets the calling thread's handling and leaves it so: for threads that do nothing but run sessions.
    public static func setFlushed(_ flushed: Bool) {
        lathe_float_control_set(lathe_float_control_flushing(lathe_float_control_get(), flushed))
    }

    /// Runs `body` with denormals flushed, or not, on the calling thread, then restores what was before.
    @inline(__always)
    package static func with<R>(flushed: Bool, _ body: () throws -> R) rethrows -> R {
        let before = lathe_float_control_get()
        lathe_float_control_set(lathe_float_control_flushing(before, flushed))
        defer { lathe_float_control_set(before) }
        return try body()
    }

    /// Runs `body`, then restores the calling thread's handling: for calls that change it as a side effect.
    static func preserving<R>(_ body: () -> R) -> R {
        let before = lathe_float_control_get()
        defer { lathe_float_control_set(before) }
        return body()
    }
}
