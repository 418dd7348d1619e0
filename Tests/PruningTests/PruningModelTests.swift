import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Recipes
@testable import Techniques

/// Structured pruning on whole models.
@Suite struct PruningModelTests {
    /// Layers that the sample architectures couple.
    static let coupled: [String: [[String]]] = [
        "lenet-300-100": [["/ip1/Gemm"], ["/ip2/Gemm"]],
        "lenet-5": [["/conv1/Conv"], ["/conv2/Conv"], ["/ip1/Gemm"]],
        "resnet-8": [
            ["/stem/Conv", "/stage1/conv2/Conv"], ["/stage1/conv1/Conv"], ["/stage2/conv1/Conv"], ["/stage2/conv2/Conv", "/stage2/shortcut/Conv"],
            ["/stage3/conv1/Conv"], ["/stage3/conv2/Conv", "/stage3/shortcut/Conv"],
        ],
        "ds-cnn": [
            ["/stem/Conv", "/blocks/blocks.0/depthwise/Conv"], ["/blocks/blocks.0/pointwise/Conv", "/blocks/blocks.1/depthwise/Conv"],
            ["/blocks/blocks.1/pointwise/Conv", "/blocks/blocks.2/depthwise/Conv"],
            ["/blocks/blocks.2/pointwise/Conv", "/blocks/blocks.3/depthwise/Conv"], ["/blocks/blocks.3/pointwise/Conv"],
        ],
        "transformer": (0..<2).flatMap { layer in
            [
                ["query", "key", "value"].map { "/layers/layers.\(layer)/attention/\($0)/MatMul" },
                ["/layers/layers.\(layer)/ffn1/MatMul"],
            ]
        },
        "lstm": [["/lstm/LSTM"]],
    ]

    @Test(arguments: Samples.models) func groupsFollowTheArchitecture(name: String) throws {
        let model = try Fixture.sample(name)
        #expect(Fixture.groups(model) == Self.coupled[name])
        let shapes = try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1))
        #expect(Fixture.groups(model, shapes: shapes) == Self.coupled[name], "shapes are not needed for these models")
    }

    @Test(arguments: Samples.models, [0.1, 0.5, 0.9]) func cutEqualsMasked(name: String, ratio: Double) throws {
        let model = try Fixture.sample(name)
        let (difference, removed, cut) = try Fixture.cutAgainstMask(model, inputs: Fixture.inputs(for: model, batch: 5), ratio: ratio)
        #expect(difference < 2e-6)
        #expect(removed > 0)
        let layers = cut.layers()
        for layer in layers { #expect(layer.weightCount <= model.layers().first { $0.id == layer.id }?.weightCount ?? 0) }
    }

    /// The model's inputs and outputs keep names, types and dimensions; the file is smaller; twice gives the same bytes.
    @Test(arguments: Samples.models) func contractAndDeterminism(name: String) throws {
        let model = try Fixture.sample(name)
        let recipe = Fixture.recipe("structured-pruning", ["ratio": .real(0.3), "scope": .choice("global"), "keep-multiple-of": .integer(4)])
        let first = try Fixture.apply(recipe, to: model).model
        #expect(try first.serialized().joined() == Fixture.apply(recipe, to: Fixture.sample(name)).model.serialized().joined())
        func contract(_ model: Model) -> [String] {
            (model.graph.inputs + model.graph.outputs).map { "\($0.name) \($0.elementType?.description ?? "?") \($0.shape?.description ?? "?")" }
        }
        #expect(contract(first) == contract(model))
        #expect(try first.serialized().byteCount < model.serialized().byteCount)
        for batch in [1, 4] { #expect(try Fixture.run(first, Fixture.inputs(for: model, batch: batch)).map(\.shape) == [[batch, 10]]) }
    }

    /// Filters whose outgoing weights are zero are of no effect: where they are the weakest, cutting them changes nothing.
    /// (What reads them is named here by hand, not taken from the analysis.)
    @Test func filtersOfNoEffectGoUnnoticed() throws {
        struct Group {
            var makers: [String]
            /// Weights that read the channels, and how many columns of theirs belong to one channel.
            var readers: [(name: String, run: Int)]
            var count: Int
        }
        let cases: [(String, [Group])] = [
            (
                "lenet-5",
                [
                    Group(makers: ["conv1.weight"], readers: [("conv2.weight", 1)], count: 20),
                    Group(makers: ["conv2.weight"], readers: [("ip1.weight", 16)], count: 50),
                ]
            ),
            (
                "resnet-8",
                [
                    Group(
                        makers: ["stem.weight", "stage1.conv2.weight"], readers: [("stage1.conv1.weight", 1), ("stage2.conv1.weight", 1), ("stage2.shortcut.weight", 1)], count: 16),
                    Group(makers: ["stage2.conv1.weight"], readers: [("stage2.conv2.weight", 1)], count: 32),
                    Group(makers: ["stage3.conv2.weight", "stage3.shortcut.weight"], readers: [("classifier.weight", 1)], count: 64),
                ]
            ),
            (
                "ds-cnn",
                [
                    Group(makers: ["blocks.1.pointwise.weight", "blocks.2.depthwise.weight"], readers: [("blocks.2.pointwise.weight", 1)], count: 64)
                ]
            ),
        ]
        for (name, groups) in cases {
            var model = try Fixture.sample(name)
            for group in groups {
                // Every other channel is made weak and without effect.
                for maker in group.makers {
                    let tensor = try #require(model.graph.initializers[maker])
                    let slice = tensor.count / group.count
                    model.graph.initializers[maker] = tensor.withFloats((tensor.floats() ?? []).enumerated().map { $0 / slice % 2 == 1 ? $1 * 1e-4 : $1 })
                }
                for (reader, run) in group.readers {
                    let tensor = try #require(model.graph.initializers[reader])
                    let kernel = tensor.dims.dropFirst(2).reduce(1, *)
                    model.graph.initializers[reader] = tensor.withFloats(
                        (tensor.floats() ?? []).enumerated().map { $0 / kernel % tensor.dims[1] / run % 2 == 1 ? 0 : $1 })
                }
            }
            let makers = groups.flatMap(\.makers)
            let chosen = LayerSelector(include: makers.map { .name($0) })
            let applied = try Fixture.apply(Fixture.recipe("structured-pruning", ["ratio": .real(0.5)], layers: chosen), to: model)
            for group in groups { #expect(applied.model.graph.initializers[group.makers[0]]?.dims[0] == group.count / 2) }
            let inputs = Fixture.inputs(for: model)
            #expect(try Fixture.difference(Fixture.run(model, inputs), Fixture.run(applied.model, inputs)) < 2e-6, "\(name)")
        }
    }

    /// ResNet-8 cut by numpy, from the method's description and the architecture: every tensor equal to the bit.
    @Test(arguments: ["l1", "l2"]) func residualNetworkEqualsNumpy(criterion: String) throws {
        let model = try Fixture.sample("resnet-8")
        let pruned = try Fixture.apply(Fixture.recipe("structured-pruning", ["ratio": .real(0.4), "criterion": .choice(criterion)]), to: model).model
        let folder = try TemporaryFolder()
        try pruned.serialized().write(to: folder.path + "/pruned.onnx")
        let original = Samples.path("resnet-8")
        let problems = try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import numpy_helper
            load = lambda p: {t.name: numpy_helper.to_array(t) for t in onnx.load(p).graph.initializer}
            w, cut = load(sys.argv[1]), load(sys.argv[2])
            ratio, criterion = 0.4, sys.argv[3]
            # makers of each group of channels, normalizations on them, readers
            groups = [
                (['stem', 'stage1.conv2'], ['stem_bn', 'stage1.bn2'], ['stage1.conv1', 'stage2.conv1', 'stage2.shortcut']),
                (['stage1.conv1'], ['stage1.bn1'], ['stage1.conv2']),
                (['stage2.conv1'], ['stage2.bn1'], ['stage2.conv2']),
                (['stage2.conv2', 'stage2.shortcut'], ['stage2.bn2'], ['stage3.conv1', 'stage3.shortcut']),
                (['stage3.conv1'], ['stage3.bn1'], ['stage3.conv2']),
                (['stage3.conv2', 'stage3.shortcut'], ['stage3.bn2'], ['classifier']),
            ]
            expected = dict(w)
            for makers, normalizations, readers in groups:
                scores = []
                for maker in makers:
                    rows = w[maker + '.weight'].reshape(len(w[maker + '.weight']), -1).astype(np.float64)
                    norm = np.abs(rows).sum(1) if criterion == 'l1' else np.sqrt((rows ** 2).sum(1))
                    scores.append(norm / norm.mean())
                score = np.mean(scores, 0)
                keep = np.sort(np.argsort(score, kind='stable')[int(np.floor(ratio * len(score) + 0.5)):])
                for maker in makers:
                    for part in ['.weight', '.bias']:
                        if maker + part in w: expected[maker + part] = expected[maker + part][keep]
                for name in normalizations:
                    for part in ['.weight', '.bias', '.running_mean', '.running_var']: expected[name + part] = w[name + part][keep]
                for reader in readers: expected[reader + '.weight'] = expected[reader + '.weight'][:, keep]
            for name in expected:
                if expected[name].shape != cut[name].shape or expected[name].tobytes() != cut[name].tobytes():
                    print(name, expected[name].shape, cut[name].shape)
            import onnxruntime
            session = onnxruntime.InferenceSession(sys.argv[2], providers=['CPUExecutionProvider'])
            result = session.run(None, {'image': np.zeros((2, 1, 28, 28), np.float32)})
            if result[0].shape != (2, 10): print(result[0].shape)
            """, original, folder.path + "/pruned.onnx", criterion)
        #expect(problems.isEmpty, "\(problems)")
    }

    /// A second step finds shapes that the first has made untrue.
    @Test func stepsFollowEachOther() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let hidden = b.conv(b.conv("x", "a", (3, 8)), "b", (8, 8))
        let flat = b.node("Reshape", [hidden, b.integers("target", [-1, 240])], "flat")
        let model = b.model(b.gemm(b.gemm(flat, "c", (240, 12)), "out", (12, 3)))
        let shapes = try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1))
        var recipe = Fixture.recipe("structured-pruning", ["ratio": .real(0.5)], layers: .names("b"))
        recipe.steps.append(RecipeStep(technique: "structured-pruning", parameters: ParameterValues(["ratio": .real(0.25)]), layers: .names("a", "c")))
        recipe.steps.append(RecipeStep(technique: "structured-pruning", parameters: ParameterValues(["ratio": .real(0.25)]), layers: .names("a", "b")))
        recipe.steps.append(RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.5)])))
        let result = try Fixture.apply(recipe, to: model, shapes: shapes).model
        #expect(result.graph.initializers["a.weight"]?.dims == [4, 3, 3, 3])
        #expect(result.graph.initializers["b.weight"]?.dims == [3, 4, 3, 3])
        #expect(result.graph.initializers["c.weight"]?.dims == [9, 90])
        #expect(try Fixture.run(result, Fixture.inputs(for: model)).map(\.shape) == [[3, 3]])
    }

    /// IR version 3 files list their weights among the inputs; recorded shapes must follow too.
    @Test func declaredShapesFollow() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let relu = b.node("Relu", [b.conv("x", "a", (3, 8))], "relu")
        let flat = b.node("Flatten", [relu], "flat")
        var model = b.model(b.gemm(flat, "out", (240, 3)))
        for tensor in model.graph.initializers.values {
            model.graph.inputs.append(ValueInfo(name: tensor.name, elementType: .float32, shape: tensor.dims.map { .fixed($0) }))
        }
        for (name, shape) in [("a", [8, 6, 5]), ("relu", [8, 6, 5]), ("flat", [240])] {
            model.graph.valueInfos[name] = ValueInfo(name: name, elementType: .float32, shape: [.symbolic("batch")] + shape.map { .fixed($0) })
        }
        let applied = try Fixture.apply(Fixture.recipe("structured-pruning", ["ratio": .real(0.25)]), to: model).model
        let inputs = Fixture.inputs(for: model)
        let shapes = try Fixture.shapes(of: applied, inputs)
        for info in applied.graph.valueInfos.values {
            #expect(info.shape?.dropFirst().map(\.fixedValue) == shapes[info.name]?.dropFirst().map { $0 }, "\(info.name)")
        }
        #expect(applied.graph.valueInfos["relu"]?.shape == [.symbolic("batch"), .fixed(6), .fixed(6), .fixed(5)])
        for info in applied.graph.inputs.dropFirst() {
            #expect(info.shape?.map(\.fixedValue) == applied.graph.initializers[info.name]?.dims.map { $0 }, "\(info.name)")
        }
    }
}
