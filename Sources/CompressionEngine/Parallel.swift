import Dispatch
import Synchronization

/// Work spread over the cores.
enum Parallel {
    /// Applies `transform` to every element on all cores; results stand in the elements' order.
    /// - Throws: the error of the first element, in order, that failed.
    static func map<Element: Sendable, Value: Sendable>(
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
