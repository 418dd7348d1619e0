import Foundation
import Testing

@testable import OnnxRuntime

/// Files from anywhere: each is refused with one line, or runs; none ends the process.
@Suite struct HostileModelTests {
    @Test func whatIsNoModelIsAnError() throws {
        let library = try testLibrary()
        let kinds: [(String, [UInt8])] = [
            ("empty", []), ("zeros", [UInt8](repeating: 0, count: 4096)), ("text", Array("hello, world".utf8)),
            ("endless varint", [UInt8](repeating: 0xFF, count: 64)), ("PNG", [0x89, 0x50, 0x4E, 0x47, 13, 10, 26, 10]),
        ]
        for (label, bytes) in kinds {
            guard case .failed(_, let message, let doing)? = failure({ try Session(library: library, model: bytes, label: label) })
            else {
                Issue.record("\(label) was accepted")
                continue
            }
            #expect(!message.isEmpty && doing == "loading \(label)")
        }
        guard case .failed(let code, _, _)? = failure({ try Session(library: library, path: "/nowhere/model.onnx") })
        else {
            Issue.record("a missing file was loaded")
            return
        }
        #expect(code == .noSuchFile)
    }

    @Test func anUnknownOperatorIsNamed() throws {
        let error = failure { try session("unknown-operator.onnx") }
        #expect(error?.description.contains("Frobnicate") == true)
    }

    @Test func everyTruncationIsRefusedOrRuns() throws {
        let library = try testLibrary()
        let whole = try Oracle.bytes("sum.onnx")
        var refused = 0
        for length in 0..<whole.count {
            if (try? Session(library: library, model: Array(whole[..<length]), label: "cut")) == nil { refused += 1 }
        }
        // A prefix can be a whole message, but hardly more than a few are a whole model.
        #expect(refused > whole.count * 9 / 10)
    }

    @Test func damagedBytesDoNotEndTheProcess() throws {
        let library = try testLibrary()
        let x = try Value(Oracle.floats("convolution.x"), shape: [3, 3, 12, 12], library: library)
        let whole = try Oracle.bytes("convolution.onnx")
        var random = SplitMix64(state: 20_260_729)
        var refused = 0
        for _ in 0..<400 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
            do {
                let session = try Session(library: library, model: bytes, label: "damaged")
                let values = try session.run(inputs: [("x", x)])
                for value in values { _ = try? value.floats() }
            } catch {
                refused += 1
                #expect(!error.description.contains { $0.isNewline })
            }
        }
        #expect(refused > 0)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same damage in every run of the tests.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
