import Foundation

/// Times of one thing, in milliseconds.
struct Distribution {
    var times: [Double] = []

    mutating func measure<R>(_ body: () throws -> R) rethrows -> R {
        let start = DispatchTime.now().uptimeNanoseconds
        defer { times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6) }
        return try body()
    }

    func percentile(_ fraction: Double) -> Double {
        let sorted = times.sorted()
        guard !sorted.isEmpty else { return .nan }
        return sorted[min(sorted.count - 1, Int((fraction * Double(sorted.count - 1)).rounded(.up)))]
    }

    var median: Double { percentile(0.5) }

    func printed(_ name: String) {
        let line = String(
            format: "  %-44@  p50 %9.3f ms   p90 %9.3f ms   p99 %9.3f ms   n %d", name as NSString, percentile(0.5), percentile(0.9), percentile(0.99),
            times.count)
        print(line)
    }
}

/// The repository, found from this file, so that the benchmark runs from any folder.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static func sample(_ name: String) -> String { root + "/SampleModels/\(name).onnx" }
    static let data = root + "/SampleModels/data/fashion-mnist.yaml"
}
