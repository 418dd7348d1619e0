import Foundation
import ModelGraph

/// A small forward graph in the making, with values for its inputs.
struct Sketch: Sendable {
    private(set) var model: Model
    /// Values of the graph inputs, all of them float32.
    private(set) var values: [String: [Float]] = [:]
    /// Inputs to differentiate by.
    private(set) var differentiated: [String] = []
    private var count = 0

    init(opset: Int) { model = Model(graph: Graph(name: "sketch"), opset: opset, irVersion: 10) }

    private mutating func fresh(_ base: String) -> String {
        count += 1
        return "\(base)\(count)"
    }

    /// A graph input of values that all differ, in a mixed but fixed order, evenly spread over a range and never in its middle:
    /// no ties, and nothing on the kink of an activation.
    mutating func input(_ dims: Int..., in range: ClosedRange<Float> = -2...2) -> String { input(shape: dims, in: range) }

    mutating func input(shape dims: [Int], in range: ClosedRange<Float> = -2...2) -> String {
        let size = dims.reduce(1, *)
        var numbers = FixedNumbers(seed: UInt64(size + 31 * count))
        var order = Array(0..<size)
        for index in order.indices.dropLast() { order.swapAt(index, index + numbers.below(size - index)) }
        let width = range.upperBound - range.lowerBound
        return input(dims, order.map { range.lowerBound + width * (Float($0) + 0.37) / Float(size) })
    }

    /// A graph input of given values.
    mutating func input(_ dims: [Int], _ given: [Float]) -> String {
        let name = fresh("x")
        model.graph.inputs.append(ValueInfo(name: name, elementType: .float32, shape: dims.map { .fixed($0) }))
        values[name] = given
        differentiated.append(name)
        return name
    }

    /// A constant of integers, a vector unless dimensions are given.
    mutating func integers(_ numbers: [Int], _ dims: [Int]? = nil) -> String {
        let name = fresh("i")
        model.graph.initializers[name] = Tensor(name: name, int64s: numbers.map(Int64.init), dims: dims ?? [numbers.count])
        return name
    }

    mutating func floats(_ numbers: [Float], _ dims: [Int]? = nil) -> String {
        constant { Tensor(name: $0, floats: numbers, dims: dims ?? [numbers.count]) }
    }

    mutating func constant(_ make: (String) -> Tensor) -> String {
        let name = fresh("c")
        model.graph.initializers[name] = make(name)
        return name
    }

    mutating func node(_ type: String, _ inputs: String..., with settings: KeyValuePairs<String, Setting> = [:]) -> String {
        nodes(type, inputs, with: settings, outputs: 1)[0]
    }

    mutating func nodes(
        _ type: String, _ inputs: [String], with settings: KeyValuePairs<String, Setting> = [:], outputs: Int, domain: String = ""
    ) -> [String] {
        let made = (0..<outputs).map { _ in fresh("y") }
        let attributes = settings.map { Attribute($0.key, $0.value.value) }
        model.graph.nodes.append(Node(type, name: "\(type) of the sketch", domain: domain, inputs: inputs, outputs: made, attributes: attributes))
        return made
    }

    /// Leaves an output of a node out, as files do with what they do not read.
    mutating func leaveOut(_ value: String) {
        for index in model.graph.nodes.indices {
            for position in model.graph.nodes[index].outputs.indices where model.graph.nodes[index].outputs[position] == value {
                model.graph.nodes[index].outputs[position] = ""
            }
        }
    }

    mutating func set(_ attribute: String, _ setting: Setting, ofMaker value: String) {
        for index in model.graph.nodes.indices where model.graph.nodes[index].outputs.contains(value) {
            model.graph.nodes[index].set(attribute, setting.value)
        }
    }

    mutating func finish(_ outputs: [String]) {
        model.graph.outputs = outputs.map { ValueInfo(name: $0, elementType: nil, shape: nil) }
    }
}

/// Attribute values, written as literals.
enum Setting: Sendable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
    case int(Int)
    case float(Float)
    case text(String)
    case ints([Int])
    case floats([Float])
    case texts([String])

    init(integerLiteral value: Int) { self = .int(value) }
    init(floatLiteral value: Float) { self = .float(value) }
    init(stringLiteral value: String) { self = .text(value) }
    init(arrayLiteral elements: Int...) { self = .ints(elements) }

    var value: AttributeValue {
        switch self {
        case .int(let value): .integer(value)
        case .float(let value): .float(value)
        case .text(let value): .text(value)
        case .ints(let values): .integers(values)
        case .floats(let values): .floats(values)
        case .texts(let values): .strings(values.map { Data($0.utf8) })
        }
    }
}

/// Random numbers that are the same everywhere and always (SplitMix64, Steele et al. 2014).
struct FixedNumbers {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
    /// Uniform in −1…1.
    mutating func signed() -> Float { Float(next() >> 40) / Float(1 << 23) - 1 }
    mutating func signed(_ count: Int) -> [Float] { (0..<count).map { _ in signed() } }
}
