import EngineSupport
import Foundation
import ModelGraph
import OnnxRuntime

/// Times single kernels in small graphs, from the runtime's own profile.
package enum KernelTiming {
    /// Runs at least and at most; the first, which allocates and prepacks, does not count.
    private static let runs = (least: 6, most: 40)
    /// Seconds that one group of kernels may take, about.
    private static let seconds = 0.15

    /// Milliseconds of each kernel; those that the runtime refuses are missing.
    package static func milliseconds(
        _ kernels: [Kernel], library: RuntimeLibrary, threads: Int, cancellation: Cancellation
    ) throws -> [Kernel: Double] {
        do {
            return try together(kernels, library, threads, cancellation)
        } catch let error as EngineError where error.kind == .cancelled {
            throw error
        } catch {
            // One kernel that is refused is refused alone.
            guard kernels.count > 1 else { return [:] }
            var result: [Kernel: Double] = [:]
            for kernel in kernels { result.merge(try milliseconds([kernel], library: library, threads: threads, cancellation: cancellation)) { $1 } }
            return result
        }
    }

    private static func together(_ kernels: [Kernel], _ library: RuntimeLibrary, _ threads: Int, _ cancellation: Cancellation) throws -> [Kernel: Double] {
        let (model, tensors) = KernelGraph.model(kernels)
        let inputs = try tensors.map { ($0.name, try RuntimeValues.view($0)) }
        let outputs = model.graph.outputs.map(\.name)
        let prefix = NSTemporaryDirectory() + "lathe-kernels-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        var options = SessionOptions()
        options.profilingFilePrefix = prefix
        let runner = try ModelRunner(model, library: library, threads: threads, options: options, label: "kernels")
        var count = 0
        let start = DispatchTime.now().uptimeNanoseconds
        func elapsed() -> Double { Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9 }
        var failure: (any Error)?
        do {
            while count < runs.least || (count < runs.most && elapsed() < seconds) {
                _ = try runner.run(inputs, outputs: outputs, cancellation: cancellation)
                count += 1
            }
        } catch {
            failure = error
        }
        let path = try runner.session.endProfiling()
        defer { unlink(path) }
        if let failure { throw failure }
        var sums = [Double](repeating: 0, count: kernels.count)
        for entry in try ProfileReport.read(path: path).operators {
            guard let number = number(of: entry.node) else { continue }
            sums[number] += typical(entry.microseconds) / 1000
        }
        return Dictionary(zip(kernels, sums).filter { $0.1 > 0 }, uniquingKeysWith: { $1 })
    }

    /// Which kernel a node belongs to. Reorderings into the runtime's blocked layout have other names: in a whole model they are few.
    private static func number(of node: String) -> Int? {
        guard let word = node.range(of: "kernel"), let dot = node[word.upperBound...].firstIndex(of: ".") else { return nil }
        return Int(node[word.upperBound..<dot])
    }

    /// The mean of the lower three quarters: the profiler gives whole microseconds, and what interrupts makes calls only longer.
    package static func typical(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return 0 }
        let kept = values.sorted().prefix(max(values.count * 3 / 4, 1))
        return kept.reduce(0, +) / Double(kept.count)
    }
}
