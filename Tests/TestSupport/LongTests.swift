import Foundation
import Testing

extension Trait where Self == ConditionTrait {
    /// Trains for long: left out by `make test-quick`, which sets LATHE_TEST_QUICK.
    package static var long: Self { .disabled(if: ProcessInfo.processInfo.environment["LATHE_TEST_QUICK"] != nil, "trains for long") }
}
