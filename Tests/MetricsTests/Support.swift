import EngineSupport
import Foundation
import Metrics
import PythonOracle
import Testing

/// One output of a model for one sample.
struct Output {
    var name = "output"
    var values: [Float]
    var shape: [Int]

    init(_ values: [Float], _ shape: [Int]? = nil, name: String = "output") {
        (self.values, self.shape, self.name) = (values, shape ?? [values.count], name)
    }
}

extension MetricComputation {
    func contribution(of outputs: [Output], _ target: SampleTarget) throws -> [Double] {
        var copies: [UnsafeMutableBufferPointer<Float>] = []
        defer { for copy in copies { copy.deallocate() } }
        let views = outputs.map { output in
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: output.values.count)
            _ = copy.initialize(from: output.values)
            copies.append(copy)
            return OutputView(name: output.name, values: UnsafeBufferPointer(copy), shape: output.shape)
        }
        return try contribution(views, target: target)
    }
}

/// A metric's value over samples.
func value(
    _ kind: MetricKind, _ samples: [([Output], SampleTarget)], single: SingleReading? = nil, _ change: (inout MetricOptions) -> Void = { _ in }
) throws -> Double {
    var options = MetricOptions()
    change(&options)
    let computation = try MetricComputations.make(kind, options: options, single: single)
    return computation.statistic(of: try samples.map { try computation.contribution(of: $0.0, $0.1) }).value(counts: nil)
}

/// What a Python script says of cases: it finds them as `cases`, and appends to `results` a dictionary for each.
func oracle(_ cases: some Encodable, _ script: String) throws -> [[String: Double]] {
    let folder = try TemporaryFolder()
    let path = folder.file("cases.json")
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    try encoder.encode(cases).write(to: URL(fileURLWithPath: path))
    let output = try Python.run(
        """
        import json, math, warnings
        warnings.simplefilter("ignore")
        cases, results = json.load(open(args[0])), []
        \(script)
        print(json.dumps([{name: float(value) if math.isfinite(value) else repr(float(value)) for name, value in result.items()} for result in results]))
        """, path)
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return try decoder.decode([[String: Double]].self, from: Data(output.utf8))
}

/// Equal to 1e-6, or both not a number.
func expectSame(_ found: Double, _ expected: Double?, _ what: String, within tolerance: Double = 1e-6, sourceLocation: SourceLocation = #_sourceLocation) {
    guard let expected else {
        Issue.record("\(what): Python says nothing", sourceLocation: sourceLocation)
        return
    }
    let isSame = found == expected || (found.isNaN && expected.isNaN) || abs(found - expected) <= tolerance * max(1, abs(expected))
    #expect(isSame, "\(what): \(found), expected \(expected)", sourceLocation: sourceLocation)
}

extension SeededGenerator {
    /// 0 ..< 1.
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Standard normal (Box and Muller 1958).
    mutating func normal() -> Double { (-2 * log(1 - uniform())).squareRoot() * cos(2 * .pi * uniform()) }

    mutating func normals(_ count: Int) -> [Float] { (0..<count).map { _ in Float(normal()) } }
}

extension Sequence<Float> {
    /// Exact in Python.
    var doubles: [Double] { map(Double.init) }
}
