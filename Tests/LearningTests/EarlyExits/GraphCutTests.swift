import Foundation
import ModelGraph
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Techniques
@testable import Training

/// Where graphs can be cut.
@Suite struct GraphCutTests {
    private func graph(_ nodes: [(String, [String])], output: String) -> Graph {
        Graph(
            name: "g", nodes: nodes.map { Node("Op", name: $0.0, inputs: $0.1, outputs: [$0.0]) },
            inputs: [ValueInfo(name: "x", elementType: .float32, shape: nil), ValueInfo(name: "y", elementType: .float32, shape: nil)],
            outputs: [ValueInfo(name: output, elementType: .float32, shape: nil)])
    }

    @Test func residualsAndForksAreNoCuts() {
        let found = graph(
            [("a", ["x"]), ("b", ["a"]), ("c", ["b", "a"]), ("d", ["c"]), ("e", ["c"]), ("f", ["d", "e"]), ("out", ["f"])], output: "out")
        #expect(GraphCuts(found, output: "out").values == ["a", "c", "f"])
    }

    @Test func anInputReadLaterLeavesNoCutBeforeIt() {
        let found = graph([("a", ["x"]), ("b", ["a"]), ("c", ["b", "y"]), ("d", ["c"]), ("out", ["d"])], output: "out")
        #expect(GraphCuts(found, output: "out").values == ["c", "d"])
    }

    /// On random graphs: a value is a cut exactly if taking it away leaves no way from an input to the output.
    @Test func theDefinitionHoldsOnRandomGraphs() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            var names = ["x"]
            var nodes: [(String, [String])] = []
            for number in 0..<12 {
                let near = names.suffix(3)
                let inputs = (0...generator.below(2)).map { _ in near[near.startIndex + generator.below(near.count)] }
                nodes.append(("v\(number)", Array(Set(inputs)).sorted()))
                names.append("v\(number)")
            }
            var found = graph(nodes, output: "v11")
            found.inputs.removeLast()
            found.removeDeadCode()
            let expected = found.nodes.map(\.name).dropLast().filter { removed in
                var reached: Set<String> = ["x"]
                for node in found.nodes where node.name != removed && node.inputs.contains(where: reached.contains) { reached.insert(node.name) }
                return !reached.contains("v11")
            }
            let cuts = GraphCuts(found, output: "v11").values
            #expect(cuts == Array(expected))
            let parts = GraphCuts.parts(of: found, cutAt: cuts)
            for (node, part) in zip(found.nodes, parts) {
                for input in node.inputs where input != "x" {
                    guard let producer = found.nodes.firstIndex(where: { $0.name == input }) else { continue }
                    // Across a cut only the cut's value is read.
                    #expect(parts[producer] == part || (parts[producer] == part - 1 && cuts[part - 1] == input))
                }
            }
        }
    }
}
