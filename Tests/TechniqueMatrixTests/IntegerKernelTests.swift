import CompressionEngine
import EngineSupport
import Foundation
import ModelGraph
import PythonOracle
import Recipes
import Techniques
import Testing
import Training

/// What `static-int8` has made compute on integers still does so behind every later step: counted in the graph that ONNX Runtime has optimized.
@Suite struct IntegerKernelTests {
    @Test(arguments: ["ds-cnn", "resnet-8", "lenet-5"]) func laterStepsKeepIntegerKernels(_ name: String) throws {
        let folder = try TemporaryFolder()
        let session = try EngineSession.open(OpenRequest(modelPath: Samples.path(name), dataPath: try Samples.data(images: 200, in: folder)))
        let first = RecipeStep(technique: "static-int8", parameters: ParameterValues(["target": .choice("integer")]))
        var labels = ["static-int8"]
        var files = [folder.file("0.onnx")]
        try session.apply(Recipe(steps: [first])).model.serialized().write(to: files[0])
        // Low-rank and bottleneck adapters add a branch in float to a layer's output: what the layer itself gives is not quantized any more.
        let adding: Set = ["lora", "adapters"]
        for descriptor in TechniqueRegistry.all.map(\.descriptor) where !adding.contains(descriptor.id) {
            var parameters = ParameterValues()
            if descriptor.parameter("epochs") != nil { parameters["epochs"] = .integer(1) }
            let recipe = Recipe(steps: [first, RecipeStep(technique: descriptor.id, parameters: parameters)])
            let source = recipe.learns ? try session.trainingSource(store: TrainingStore(folder: folder.file("state"))) : nil
            // What does not go behind integers says so.
            guard let model = try? session.apply(recipe, training: source).model else { continue }
            let file = folder.file("\(files.count).onnx")
            try model.serialized().write(to: file)
            files.append(file)
            labels.append(descriptor.id)
        }
        #expect(labels.contains("fine-tuning"))
        let printed = try Python.run(
            """
            import sys, onnx, onnxruntime as ort
            kernels = ("QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat")
            def count(graph):
                # Exits put layers into the branches of an If.
                inner = sum(count(a.g) for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)
                return inner + sum(node.op_type in kernels for node in graph.node)
            for file in sys.argv[1:]:
                options = ort.SessionOptions()
                options.optimized_model_filepath, options.log_severity_level = file + ".optimized", 3
                ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
                print(count(onnx.load(file + ".optimized").graph))
            """, arguments: files)
        let counts = printed.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        try #require(counts.count == files.count && counts[0] > 0, "\(printed)")
        for (label, count) in zip(labels, counts) { #expect(count >= counts[0], "\(name), static-int8 + \(label): \(count) of \(counts[0]) integer kernels are left") }
    }
}
