import Synchronization

/// A `BoundedCache` for several threads.
package final class SharedCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let cache: Mutex<BoundedCache<Key, Value>>

    /// Limits as those of `BoundedCache`.
    package init(maximumCount: Int = .max, maximumCost: Int = .max) {
        cache = Mutex(BoundedCache(maximumCount: maximumCount, maximumCost: maximumCost))
    }

    /// The value for `key`, which counts as used now.
    package func value(for key: Key) -> Value? { cache.withLock { $0.value(for: key) } }

    package func insert(_ value: Value, for key: Key, cost: Int = 0) { cache.withLock { _ = $0.insert(value, for: key, cost: cost) } }

    /// Changes a value in place; does nothing if there is none.
    package func update(_ key: Key, _ change: (inout Value) -> Void) {
        cache.withLock { cache in
            guard var value = cache[key] else { return }
            change(&value)
            cache[key] = value
        }
    }

    /// The value for `key`, or the one that `make` makes now. No lock is held meanwhile: of two threads that ask at once both may make it, and the
    /// first one's stays.
    package func value(for key: Key, cost: (Value) -> Int = { _ in 0 }, orMake make: () throws -> Value) rethrows -> Value {
        if let known = value(for: key) { return known }
        let made = try make()
        let size = cost(made)
        return cache.withLock { cache in
            if let known = cache.value(for: key) { return known }
            cache.insert(made, for: key, cost: size)
            return made
        }
    }

    package func withLock<Result: Sendable>(_ body: (inout BoundedCache<Key, Value>) throws -> Result) rethrows -> Result { try cache.withLock { try body(&$0) } }
}
