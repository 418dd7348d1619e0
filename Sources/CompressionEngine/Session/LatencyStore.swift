import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

/// What was learnt about time on this machine with one runtime, in a file that all sessions share.
struct LatencyStore: Sendable {
    private let path: String

    /// - Parameter folder: by default that of the user's state.
    init(runtime: String, threads: Int, machine: String = Machine.name, folder: String = StateFolder.path("latency")) {
        var hash = ContentHash()
        hash.combine("\(machine) \(runtime) \(threads)")
        path = folder + "/\(hash).json"
    }

    private struct Contents: Codable {
        struct Timed: Codable {
            var kernel: Kernel
            var milliseconds: Double
        }

        var version: Int
        var kernels: [Timed]
        var residuals: LatencyResiduals
    }

    private static let version = 1
    /// Kernels kept at most: some hundred models.
    private static let most = 20_000

    /// What is stored; nothing where there is no file, or one that cannot be read, which is no loss: it is learnt again.
    func read() -> (kernels: [Kernel: Double], residuals: LatencyResiduals) {
        guard let data = CheckedFile.read(path), let contents = try? JSONDecoder().decode(Contents.self, from: data),
            contents.version == Self.version
        else { return ([:], LatencyResiduals()) }
        return (Dictionary(contents.kernels.map { ($0.kernel, $0.milliseconds) }, uniquingKeysWith: { $1 }), contents.residuals)
    }

    /// Adds to what is stored, also by other programs meanwhile. Failure is no loss either.
    func add(_ kernels: [Kernel: Double], residuals: LatencyResiduals) {
        var known = read().kernels
        for (kernel, time) in kernels where known.count < Self.most || known[kernel] != nil { known[kernel] = time }
        let contents = Contents(
            version: Self.version, kernels: known.map { Contents.Timed(kernel: $0.key, milliseconds: $0.value) }, residuals: residuals)
        guard let data = try? JSONEncoder().encode(contents) else { return }
        CheckedFile.write(data, to: path)
    }
}
