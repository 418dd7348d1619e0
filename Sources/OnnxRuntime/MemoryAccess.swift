import Synchronization

/// Enforces, at run time, that the bytes of a value have many readers or one writer and never both: Swift's law of
/// exclusivity for memory that the compiler cannot see. A conflict is refused, not waited for; it is a mistake in the
/// caller, and waiting would hide it.
final class MemoryAccess: Sendable {
    /// The number of readers, or `writing`.
    private let state = Atomic<Int>(0)
    private static let writing = -1

    /// False when somebody is writing.
    func beginReading() -> Bool {
        var readers = state.load(ordering: .relaxed)
        while readers != Self.writing {
            let (exchanged, original) = state.weakCompareExchange(
                expected: readers, desired: readers + 1, successOrdering: .acquiring, failureOrdering: .relaxed)
            if exchanged { return true }
            readers = original
        }
        return false
    }

    func endReading() {
        state.subtract(1, ordering: .releasing)
    }

    /// False when somebody is reading or writing.
    func beginWriting() -> Bool {
        state.compareExchange(
            expected: 0, desired: Self.writing, successOrdering: .acquiring, failureOrdering: .relaxed
        ).exchanged
    }

    func endWriting() {
        state.store(0, ordering: .releasing)
    }
}

/// Keeps a value alive and unwritten for as long as this object lives: what a slice holds of its parent, and a session
/// of its external initializers.
final class ReadHold: Sendable {
    let value: Value

    /// Fails when somebody is writing the value.
    init(_ value: Value) throws(OnnxRuntimeError) {
        guard value.beginReading() else { throw Value.readConflict }
        self.value = value
    }

    deinit { value.endReading() }
}

/// Memory of a value's own, aligned for every kernel (64 bytes) and filled by its maker before anyone else sees it.
///
/// `@unchecked Sendable`: the pointer never changes, and what it points at is reached only through a `Value`, under its
/// `MemoryAccess`.
final class OwnedMemory: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int) {
        // Never zero bytes: the runtime takes a null pointer for an error.
        let base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 64), alignment: 64)
        bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    deinit { bytes.baseAddress?.deallocate() }
}
