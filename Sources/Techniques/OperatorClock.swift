import EngineSupport
import ModelGraph

/// Times models on this machine, for techniques that choose by it, and keeps what was chosen: the same choice gives the same file.
public protocol OperatorClock: Sendable {
    /// Names machine, runtime and conditions.
    var conditions: String { get }

    /// Milliseconds of one call by name of the node as the runtime's graph has it, on one sample.
    /// - Throws: `EngineError` if the runtime refuses the model.
    func operators(of model: Model, cancellation: Cancellation) throws -> [String: Double]

    /// Median milliseconds of a call of each model, timed in turns.
    /// - Parameter seconds: to spend, about; more where a few calls take longer.
    /// - Throws: `EngineError` if the runtime refuses one.
    func race(_ models: [Model], seconds: Double, cancellation: Cancellation) throws -> [Double]

    /// What was chosen before under these conditions.
    func chosen(_ key: ContentHash) -> [String]?

    func keep(_ choice: [String], for key: ContentHash)
}
