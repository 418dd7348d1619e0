import EngineSupport
import ModelGraph
import Synchronization
import TestSupport
import Testing

@testable import Quantization
@testable import Recipes
@testable import Techniques

/// Which layers compute in integers where that is decided by time.
@Suite struct IntegerChoiceTests {
    /// Against every division of small random graphs.
    @Test func cutsAreLeast() {
        var generator = SeededGenerator(seed: 3)
        func number() -> Double { Double(generator.next() % 1000) / 100 }
        for _ in 0..<60 {
            let count = 7
            var cut = MinimumCut()
            let nodes = (0..<count).map { _ in cut.add() }
            var charges: [(from: Int, to: Int, cost: Double)] = []
            for node in nodes {
                charges.append((MinimumCut.first, node, number()))
                charges.append((node, MinimumCut.second, number()))
                for other in nodes where other != node && generator.next() % 3 == 0 { charges.append((node, other, number())) }
            }
            for charge in charges { cut.charge(charge.from, charge.to, charge.cost) }
            func cost(_ isFirst: (Int) -> Bool) -> Double {
                func side(_ node: Int) -> Bool { node == MinimumCut.first || (node != MinimumCut.second && isFirst(node)) }
                return charges.reduce(0) { $0 + (side($1.from) && !side($1.to) ? $1.cost : 0) }
            }
            let sides = cut.solve()
            let least = (0..<(1 << count)).map { bits in cost { bits >> (nodes.firstIndex(of: $0) ?? 0) & 1 == 1 } }.min() ?? 0
            #expect(abs(cost { sides[$0] } - least) < 1e-6)
        }
    }

    /// Four convolutions in a row whose speed in both forms is given; conversions cost something too.
    struct Case: Sendable, CustomTestStringConvertible {
        var float: [Double]
        var integer: [Double]
        var conversion: Double
        var stays: Set<String>
        var testDescription: String { "\(float) \(integer) \(conversion)" }
    }

    static let cases = [
        Case(float: [4, 4, 4, 4], integer: [2, 2, 2, 2], conversion: 0.1, stays: []),
        Case(float: [2, 2, 2, 2], integer: [4, 4, 4, 4], conversion: 0.1, stays: ["c0", "c1", "c2", "c3"]),
        Case(float: [4, 1, 4, 4], integer: [2, 3, 2, 2], conversion: 0.1, stays: ["c1"]),
        // The one in the middle is not worth two more conversions.
        Case(float: [4, 1, 4, 4], integer: [2, 1.2, 2, 2], conversion: 0.5, stays: []),
        Case(float: [1, 1, 4, 4], integer: [2, 2, 1, 1], conversion: 0.1, stays: ["c0", "c1"]),
        // Faster alone, but not with its conversions.
        Case(float: [1, 2, 1, 1], integer: [2, 1.5, 2, 2], conversion: 0.5, stays: ["c0", "c1", "c2", "c3"]),
    ]

    @Test(arguments: cases) func theFastestDivisionIsTaken(_ given: Case) throws {
        var b = GraphBuilder(input: [nil, 8, 6, 6], opset: 19)
        var x = "x"
        for number in 0..<4 { x = b.node("Relu", [b.conv(x, "c\(number)", (8, 8))], "r\(number)") }
        let model = b.model(x)
        let clock = TableClock(float: given.float, integer: given.integer, conversion: given.conversion)
        let data = FixedCalibration(batches: [Fixture.inputs(for: model, batch: 8)])
        let context = RewriteContext(calibration: data, clock: clock, shapes: try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1)))
        let executor = RecipeExecutor(baseline: model)
        let applied = try executor.apply(Fixture.recipe("static-int8"), context: context)
        let made = applied.model
        let index = GraphIndex(made.graph)
        func isInteger(_ node: Node) -> Bool { node.input(1).flatMap { index.producer[$0] }.map { made.graph.nodes[$0].opType == "DequantizeLinear" } ?? false }
        let float = made.graph.nodes.filter { $0.opType == "Conv" && !isInteger($0) }.map(\.name)
        #expect(Set(float) == given.stays)
        // In the file all weights have 8 bits, and what stays float is said.
        #expect(made.layers().count == 4 && made.layers().allSatisfy { !$0.isFloat })
        #expect(!made.graph.initializers.values.contains { $0.elementType == .float32 && $0.count > 64 })
        let notes = applied.reports[0].notes.joined(separator: "\n")
        #expect(notes.contains("target=integer") == !given.stays.isEmpty)
        if (1..<4).contains(given.stays.count) { for name in given.stays { #expect(notes.contains(name)) } }
        #expect(try PythonComparison.difference(model, made, exact: true) < 0.15)
        // Found once: the same file again without timing anything.
        let timed = clock.calls
        #expect(timed > 0)
        let again = try RecipeExecutor(baseline: model).apply(Fixture.recipe("static-int8"), context: context).model
        #expect(clock.calls == timed)
        #expect(try again.serialized().joined() == made.serialized().joined())
        // And not asked at all where everything is to be integer.
        let integer = try RecipeExecutor(baseline: model).apply(Fixture.recipe("static-int8", ["target": .choice("integer")]), context: context).model
        #expect(clock.calls == timed && integer.graph.nodes.count { $0.opType == "QuantizeLinear" } == 5)
    }

    /// Says what it was told of a row of convolutions.
    final class TableClock: OperatorClock {
        let float, integer: [Double]
        let conversion: Double
        private let state = Mutex<(calls: Int, choices: [ContentHash: [String]])>((0, [:]))

        init(float: [Double], integer: [Double], conversion: Double) { (self.float, self.integer, self.conversion) = (float, integer, conversion) }

        var calls: Int { state.withLock { $0.calls } }
        var conditions: String { "table" }

        func operators(of model: Model, cancellation: Cancellation) throws -> [String: Double] {
            state.withLock { $0.calls += 1 }
            let index = GraphIndex(model.graph)
            func isPair(_ value: String?) -> Bool { value.flatMap { index.producer[$0] }.map { model.graph.nodes[$0].opType == "DequantizeLinear" } ?? false }
            var times: [String: Double] = [:]
            var wasInteger = false
            for (number, node) in model.graph.nodes.filter({ $0.opType == "Conv" }).enumerated() {
                let isInteger = isPair(node.input(1))
                times[node.name] = isInteger ? integer[number] : float[number]
                if isInteger != wasInteger { times["conversion \(number)"] = conversion }
                wasInteger = isInteger
            }
            if wasInteger { times["last conversion"] = conversion }
            return times
        }

        func race(_ models: [Model], seconds: Double, cancellation: Cancellation) throws -> [Double] {
            try models.map { try operators(of: $0, cancellation: cancellation).values.reduce(0, +) }
        }

        func chosen(_ key: ContentHash) -> [String]? { state.withLock { $0.choices[key] } }
        func keep(_ choice: [String], for key: ContentHash) { state.withLock { $0.choices[key] = choice } }
    }
}

/// Constant factors and addends behind convolutions.
@Suite struct ScaleFoldingTests {
    enum Form: String, CaseIterable, Sendable {
        case product, sum, difference, reversed, quotient, chain, normalized, scalar, reshaped, depthwise, outputOfGraph
        case spatial, readTwice, second, notFolded
    }

    @Test(arguments: Form.allCases) func theSameFunctionWithFewerNodes(_ form: Form) throws {
        var b = GraphBuilder(input: [nil, 6, 5, 5])
        let c = b.conv("x", "c", (6, 6), group: form == .depthwise ? 6 : 1, bias: form != .sum)
        let k = b.positive("k", form == .scalar ? [] : [1, 6, 1, 1])
        let plain = b.positive("plain", [6, 1, 1])
        var left = 1
        var y: String
        switch form {
        case .product, .scalar, .depthwise: y = b.node("Mul", [c, k], "m")
        case .sum: y = b.node("Add", [plain, c], "m")
        case .difference: y = b.node("Sub", [c, k], "m")
        case .reversed: y = b.node("Sub", [k, c], "m")
        case .quotient: y = b.node("Div", [c, plain], "m")
        case .chain: y = b.node("Add", [b.node("Mul", [c, k], "m"), plain], "a")
        case .normalized: y = b.node("Mul", [b.batchNormalization(b.node("Add", [c, k], "m"), "n", 6), plain], "a")
        case .reshaped: y = b.node("Add", [c, b.node("Reshape", [b.positive("flat", [6]), b.integers("shape", [1, -1, 1, 1])], "r")], "m")
        case .outputOfGraph: y = b.node("Mul", [c, k], "m")
        case .spatial: (y, left) = (b.node("Mul", [c, b.positive("map", [1, 6, 5, 5])], "m"), 2)
        case .readTwice: (y, left) = (b.node("Add", [b.node("Mul", [c, k], "m"), c], "a"), 3)
        case .second: (y, left) = (b.node("Div", [k, c], "m"), 2)
        case .notFolded: (y, left) = (b.node("Mul", [c, b.positive("row", [5])], "m"), 2)
        }
        // What the output is called may not change.
        if form != .outputOfGraph {
            y = b.node("Relu", [y], "y")
            left += 1
        }
        let model = b.model(y)
        var folded = model
        BatchNormFolding.fold(&folded, arithmetic: true)
        folded.graph.removeDeadCode()
        #expect(folded.graph.nodes.count == left)
        #expect(folded.graph.outputs.map(\.name) == model.graph.outputs.map(\.name))
        #expect(try PythonComparison.difference(model, folded) < 1e-5)
        // Not unless asked.
        var others = model
        BatchNormFolding.fold(&others)
        #expect(others.graph.nodes.count >= model.graph.nodes.count - 1 && (form == .normalized || others.graph.nodes.count == model.graph.nodes.count))
    }
}
