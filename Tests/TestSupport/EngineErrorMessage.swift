import EngineSupport
import Testing

/// The message of the `EngineError` that `body` throws.
package func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        Issue.record("expected an error")
        return ""
    } catch let error as EngineError {
        #expect(!error.message.contains("\n"), "more than one line")
        return error.message
    } catch {
        Issue.record("not an EngineError: \(error)")
        return ""
    }
}
