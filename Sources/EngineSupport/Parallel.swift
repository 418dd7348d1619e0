import Dispatch
import Synchronization

/// Work spread over the cores.
package enum Parallel {
    /// Does two things at once.
    /// - Throws: the first's error, else the second's.
    package static func both<First: Sendable, Second: Sendable>(
        _ first: @Sendable () throws -> First, _ second: @Sendable () throws -> Second
    ) throws -> (First, Second) {
        let results = Mutex<(first: Result<First, any Error>?, second: Result<Second, any Error>?)>((nil, nil))
        DispatchQueue.concurrentPerform(iterations: 2) { index in
            if index == 0 {
                let result = Result { try first() }
                results.withLock { $0.first = result }
            } else {
                let result = Result { try second() }
                results.withLock { $0.second = result }
            }
        }
        let (one, other) = results.withLock { $0 }
        guard let one, let other else { throw EngineError.cancelled }
        return (try one.get(), try other.get())
    }

    /// Applies `transform` to every element on all cores; results stand in the elements' order.
    /// - Throws: the error of the first element, in order, that failed.
    package static func map<Element: Sendable, Value: Sendable>(
        _ elements: [Element], _ transform: @Sendable (Element) throws -> Value
    ) throws -> [Value] {
        let slots = Mutex<[Result<Value, any Error>?]>(.init(repeating: nil, count: elements.count))
        DispatchQueue.concurrentPerform(iterations: elements.count) { index in
            let result = Result { try transform(elements[index]) }
            slots.withLock { $0[index] = result }
        }
        return try slots.withLock { $0 }.map { slot in
            guard let slot else { throw EngineError.cancelled }
            return try slot.get()
        }
    }
}
