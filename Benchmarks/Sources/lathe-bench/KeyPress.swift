import CompressionEngine
import EngineSupport
import Explorer
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques
import TerminalCells

/// From key press to new analytic numbers on a generated model of 25 million parameters: `predict` of a recipe with
/// several steps, as the explorer calls it on the terminal thread in the frame of the key press.
enum KeyPress {
    /// 24 dense layers of 1024 × 1024: 25.2 million weights, normally distributed, the same every time.
    static func model() -> Model {
        var graph = Graph(name: "generated")
        graph.inputs = [ValueInfo(name: "x", elementType: .float32, shape: [.symbolic("batch"), .fixed(1024)])]
        graph.outputs = [ValueInfo(name: "y24", elementType: .float32, shape: [.symbolic("batch"), .fixed(1024)])]
        var state: UInt64 = 1
        func uniform() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(state >> 40) / Float(1 << 24) - 0.5
        }
        for layer in 1...24 {
            let weights = (0..<(1024 * 1024)).map { _ in (uniform() + uniform() + uniform() + uniform()) * 0.05 }
            graph.initializers["w\(layer)"] = Tensor(name: "w\(layer)", floats: weights, dims: [1024, 1024])
            let input = layer == 1 ? "x" : "y\(layer - 1)"
            graph.nodes.append(Node("MatMul", name: "dense\(layer)", inputs: [input, "w\(layer)"], outputs: ["m\(layer)"]))
            graph.nodes.append(Node("Relu", name: "relu\(layer)", inputs: ["m\(layer)"], outputs: ["y\(layer)"]))
        }
        return Model(graph: graph)
    }

    static func run() throws {
        print("from key press to analytic numbers, 25 million parameters (target: p99 under 16 ms)")
        let folder = NSTemporaryDirectory() + "lathe-bench-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/generated.onnx"
        try model().serialized().write(to: path)
        let workbench = Workbench()
        let events = EventQueue()
        var explorer = ExplorerModel(request: OpenRequest(modelPath: path), size: Size(width: 160, height: 48))
        workbench.open(OpenRequest(modelPath: path)) { events.push($0) }
        try events.wait { event in
            _ = explorer.update(.engine(event), at: 0)
            return if case .prepared = event { true } else { false }
        }
        // With what is known about time, so that latency is predicted as well.
        try LatencyStudy.learn(workbench, events) { _ = explorer.update(.engine($0), at: 0) }
        for techniques in [
            ["magnitude-pruning"], ["structured-pruning"], ["svd"], ["magnitude-pruning", "weight-sharing", "huffman"], ["structured-pruning", "weight-quantization"],
        ] {
            var recipe = Recipe(steps: techniques.map { RecipeStep(technique: $0) })
            guard let descriptor = TechniqueRegistry.technique(techniques[0])?.descriptor,
                let parameter = descriptor.parameters.first(where: { if case .real = $0.domain { true } else { false } })
            else { continue }
            var times = Distribution()
            var value = parameter.defaultValue
            for press in 0..<1000 {
                value = parameter.stepped(value, by: press % 60 < 30 ? 1 : -1)
                recipe.steps[0].parameters[parameter.name] = value
                let figures = times.measure { workbench.predict(recipe) }
                if figures?.latency == nil { throw EngineError(.recipe, "\(techniques): no prediction") }
            }
            times.printed(techniques.joined(separator: " + "))
        }
        try redraw(&explorer, workbench)
        workbench.close()
    }

    /// The whole frame: key, new recipe, prediction, screen as cells. What curses writes to the terminal is left out.
    private static func redraw(_ explorer: inout ExplorerModel, _ workbench: Workbench) throws {
        var clock = 0.0
        func press(_ text: String) throws {
            guard let key = Key(text) else { throw EngineError(.recipe, "no key '\(text)'") }
            clock += 1
            for effect in explorer.update(.key(key), at: clock) {
                guard case .predict(let recipe) = effect else { continue }
                _ = explorer.update(.predicted(canonical: recipe.canonical, workbench.predict(recipe)), at: clock)
            }
            _ = ExplorerView.frame(explorer)
        }
        for key in ["space", "tab"] { try press(key) }
        var times = Distribution()
        for count in 0..<1000 { try times.measure { try press(count % 60 < 30 ? "right" : "left") } }
        guard explorer.answers.prediction != nil else { throw EngineError(.recipe, "the explorer has no prediction") }
        times.printed("key to drawn frame, magnitude pruning, 160×48")
    }
}
