import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Recipes
@testable import Techniques

/// One small graph per way in which channels travel. Each is cut and must compute what the uncut model computes when the
/// weights that read removed channels are zero.
@Suite struct PruningOperatorTests {
    /// Layers of each group of the model's channels, and what cutting costs in accuracy of the result.
    private func check(
        _ model: Model, groups expected: [[String]], shapes: Bool = false, ratio: Double = 0.5, _ place: SourceLocation = #_sourceLocation
    ) throws -> Model {
        let inputs = Fixture.inputs(for: model)
        let known = shapes ? try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1)) : [:]
        #expect(Fixture.groups(model, shapes: known) == expected, sourceLocation: place)
        let (difference, removed, cut) = try Fixture.cutAgainstMask(model, inputs: inputs, shapes: known, ratio: ratio)
        #expect(difference < 2e-6, sourceLocation: place)
        #expect((removed > 0) == !expected.isEmpty, sourceLocation: place)
        return cut
    }

    @Test func concatenationShiftsChannels() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let joined = b.node("Concat", [b.conv("x", "a", (3, 6)), b.conv("x", "b", (3, 10))], "joined", [("axis", .integer(1))])
        let out = b.conv(b.node("Relu", [b.batchNormalization(joined, "bn", 16)], "relu"), "out", (16, 4))
        _ = try check(b.model(out), groups: [["a"], ["b"]])
    }

    /// As in DenseNet: the input of the model is part of the concatenation and stays.
    @Test func concatenationWithTheInput() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let joined = b.node("Concat", ["x", b.conv("x", "a", (3, 6))], "joined", [("axis", .integer(-3))])
        let out = b.conv(joined, "out", (9, 4))
        let cut = try check(b.model(out), groups: [["a"]])
        #expect(cut.graph.initializers["out.weight"]?.dims == [4, 6, 3, 3])
    }

    @Test func additionCouplesLayers() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 8))
        let c = b.conv(b.conv(a, "inner", (8, 5)), "c", (5, 8))
        let out = b.conv(b.node("Add", [a, c], "sum"), "out", (8, 2))
        _ = try check(b.model(out), groups: [["a", "c"], ["inner"]])
    }

    /// Concatenated channels that are then added to one layer's: that layer falls into two groups.
    @Test func additionToAConcatenationSplitsALayer() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let joined = b.node("Concat", [b.conv("x", "a", (3, 4)), b.conv("x", "b", (3, 8))], "joined", [("axis", .integer(1))])
        let sum = b.node("Sub", [joined, b.conv("x", "c", (3, 12))], "sum")
        _ = try check(b.model(b.conv(sum, "out", (12, 2))), groups: [["a", "c"], ["b", "c"]])
    }

    @Test func squeezeAndExcitation() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 8))
        let squeezed = b.conv(b.node("GlobalAveragePool", [a], "pool"), "squeeze", (8, 4), kernel: 1)
        let gate = b.node("Sigmoid", [b.conv(squeezed, "excite", (4, 8), kernel: 1)], "gate")
        _ = try check(b.model(b.conv(b.node("Mul", [a, gate], "scaled"), "out", (8, 2))), groups: [["a", "excite"], ["squeeze"]])
    }

    @Test(arguments: [1, 2]) func depthwiseConvolution(multiplier: Int) throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let wide = b.conv(b.conv("x", "a", (3, 8)), "depthwise", (8, 8 * multiplier), group: 8)
        let cut = try check(b.model(b.conv(wide, "out", (8 * multiplier, 2))), groups: [["a", "depthwise"]])
        #expect(cut.graph.nodes[1].int("group") == 4)
    }

    @Test func groupedConvolution() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let grouped = b.conv(b.conv("x", "a", (3, 12)), "grouped", (12, 18), group: 3)
        let cut = try check(b.model(b.conv(grouped, "out", (18, 2))), groups: [["a"], ["grouped"]])
        #expect(cut.graph.nodes[1].int("group") == 3)
        // Two of four input channels and three of six filters in each of the three groups.
        #expect(cut.graph.initializers["grouped.weight"]?.dims == [9, 2, 3, 3])
    }

    @Test(arguments: [1, 2, 6]) func transposedConvolution(group: Int) throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 6))
        let weight = b.constant("up.weight", [6, 12 / group, 2, 2])
        let up = b.node("ConvTranspose", [a, weight, b.constant("up.bias", [12])], "up", [("group", .integer(group)), ("strides", .integers([2, 2]))])
        let groups = group == 6 ? [["a"]] : [["a"], ["up"]]
        let cut = try check(b.model(b.conv(up, "out", (12, 2))), groups: groups)
        #expect(cut.graph.nodes[1].int("group") == (group == 6 ? 3 : group))
    }

    @Test func slopesAndConstantsPerChannel() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let slope = b.node("PRelu", [b.conv("x", "a", (3, 8)), b.constant("slope", [8, 1, 1])], "prelu")
        let scaled = b.node("Div", [b.node("Add", [b.constant("offset", [1, 8, 1, 1]), slope], "shifted"), b.positive("divisor", [8, 1, 1])], "scaled")
        let normalized = b.node("InstanceNormalization", [scaled, b.constant("s", [8]), b.constant("t", [8])], "in")
        let cut = try check(b.model(b.conv(normalized, "out", (8, 2))), groups: [["a"]])
        #expect(cut.graph.initializers["slope"]?.dims == [4, 1, 1])
        #expect(cut.graph.initializers["offset"]?.dims == [1, 4, 1, 1])
    }

    /// Exporters share equal constants. Layers that read the same one are not coupled by it: each gets its own part.
    @Test func sharedConstantsDoNotCouple() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let shift = b.constant("shared", [8])
        let variance = b.positive("variance", [8])
        func normalize(_ b: inout GraphBuilder, _ x: String, _ name: String) -> String { b.node("BatchNormalization", [x, variance, shift, shift, variance], name) }
        let first = normalize(&b, b.conv("x", "a", (3, 8)), "bn1")
        let second = normalize(&b, b.conv(first, "b", (8, 8)), "bn2")
        _ = try check(b.model(b.conv(second, "out", (8, 2))), groups: [["a"], ["b"]])
    }

    /// One weight read by two nodes: both cut alike.
    @Test func tiedWeightsAreCutOnce() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 8), bias: false)
        let again = b.node("Conv", ["x", "a.weight"], "again", [("pads", .integers([1, 1, 1, 1]))])
        let sum = b.node("Mul", [b.conv(a, "b", (8, 6)), b.conv(again, "c", (8, 6))], "product")
        let cut = try check(b.model(b.conv(sum, "out", (6, 2))), groups: [["a", "again"], ["b", "c"]])
        #expect(cut.graph.initializers["a.weight"]?.dims == [4, 3, 3, 3])
    }

    @Test(arguments: [11, 13, 18]) func splitAndGate(opset: Int) throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8], opset: opset)
        let a = b.conv("x", "a", (3, 12))
        // Unequal parts in the second split; the third part is read alone.
        let parts: [(String, AttributeValue)] = [("axis", .integer(1))] + (opset < 13 ? [("split", .integers([4, 4, 4]))] : opset >= 18 ? [("num_outputs", .integer(3))] : [])
        b.node("Split", [a], "p", more: ["q", "r"], parts)
        let gated = b.node("Mul", ["p", b.node("Sigmoid", ["q"], "sigmoid")], "gated")
        let joined = b.node("Concat", [gated, "r"], "joined", [("axis", .integer(1))])
        // Channels of p and q are one group (a unit is one of each), those of r another.
        _ = try check(b.model(b.conv(joined, "out", (8, 2))), groups: [["a"], ["a"]])
    }

    @Test func splitIntoGivenParts() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        b.node("Split", [b.conv("x", "a", (3, 12)), b.integers("sizes", [4, 8])], "p", more: ["q"], [("axis", .integer(1))])
        let sum = b.node("Add", [b.conv("p", "b", (4, 6)), b.conv("q", "c", (8, 6))], "sum")
        let cut = try check(b.model(b.conv(sum, "out", (6, 2))), groups: [["a"], ["a"], ["b", "c"]], ratio: 0.25)
        #expect(cut.graph.initializers["sizes"]?.integers() == [4, 8], "the old sizes stay where nothing reads them")
        #expect(cut.graph.nodes[1].input(1).flatMap { cut.graph.initializers[$0]?.integers() } == [3, 6])
    }

    @Test(arguments: [9, 13]) func slicesOfChannels(opset: Int) throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8], opset: opset)
        let a = b.conv("x", "a", (3, 12))
        func slice(_ b: inout GraphBuilder, _ name: String, _ start: Int, _ end: Int) -> String {
            if opset < 10 { return b.node("Slice", [a], name, [("axes", .integers([1])), ("starts", .integers([start])), ("ends", .integers([end]))]) }
            return b.node("Slice", [a, b.integers(name + ".start", [Int64(start)]), b.integers(name + ".end", [Int64(end)]), b.integers(name + ".axes", [1])], name)
        }
        // Overlapping parts, one counted from the end.
        let first = b.conv(slice(&b, "head", 0, 8), "b", (8, 4))
        let second = b.conv(slice(&b, "tail", -6, Int(Int32.max)), "c", (6, 4))
        _ = try check(b.model(b.conv(b.node("Add", [first, second], "sum"), "out", (4, 2))), groups: [["a"], ["a"], ["a"], ["b", "c"]])
    }

    @Test func flattenBeforeDense() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let pooled = b.node("MaxPool", [b.conv("x", "a", (3, 8))], "pool", [("kernel_shape", .integers([2, 1])), ("strides", .integers([2, 1]))])
        let hidden = b.gemm(b.node("Relu", [b.node("Flatten", [pooled], "flat")], "relu"), "hidden", (8 * 15, 10))
        _ = try check(b.model(b.gemm(hidden, "out", (10, 3))), groups: [["a"], ["hidden"]])
    }

    /// [-1, features] is the same as flattening only if the image is known; [0, -1] always is.
    @Test(arguments: [[-1, 8 * 30], [0, -1]]) func reshapeBeforeDense(target: [Int]) throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let flat = b.node("Reshape", [b.conv("x", "a", (3, 8)), b.integers("target", target.map(Int64.init))], "flat")
        let out = b.matMul(flat, "out", (8 * 30, 3))
        let model = b.model(out)
        _ = try check(model, groups: [["a"]], shapes: true)
        #expect(Fixture.groups(model) == (target[0] == 0 ? [["a"]] : []))
    }

    /// Channels last: every pixel's channels stand together.
    @Test func flattenAfterTransposition() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let last = b.node("Transpose", [b.conv("x", "a", (3, 8))], "last", [("perm", .integers([0, 2, 3, 1]))])
        let flat = b.node("Reshape", [last, b.integers("target", [-1, 240])], "flat")
        _ = try check(b.model(b.gemm(flat, "out", (240, 3))), groups: [["a"]], shapes: true)
    }

    /// The target's length from Shape, Slice and Concat, as exporters write it.
    @Test func computedReshapeTarget() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let pooled = b.node("GlobalAveragePool", [b.conv("x", "a", (3, 8))], "pool")
        let batch = b.node("Slice", [b.node("Shape", [pooled], "shape"), b.integers("0", [0]), b.integers("1", [1])], "batch")
        let flat = b.node("Reshape", [pooled, b.node("Concat", [batch, b.integers("features", [8])], "target", [("axis", .integer(0))])], "flat")
        let cut = try check(b.model(b.gemm(flat, "out", (8, 3))), groups: [["a"]])
        #expect(cut.graph.nodes.contains { $0.opType == "Add" }, "a computed shape is corrected by a constant")
    }

    @Test func channelShuffle() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let a = b.conv("x", "a", (3, 12))
        let split = b.node("Reshape", [a, b.integers("split", [-1, 3, 4, 6, 5])], "split5")
        let swapped = b.node("Transpose", [split], "swapped", [("perm", .integers([0, 2, 1, 3, 4]))])
        let merged = b.node("Reshape", [swapped, b.integers("merged", [-1, 12, 6, 5])], "merged4")
        let out = b.conv(b.conv(merged, "grouped", (12, 12), group: 3), "out", (12, 2))
        // Four units of three channels: the same place in every group; the grouped convolution then ties them further.
        let whole = b.model(out)
        let known = try Fixture.shapes(of: whole, Fixture.inputs(for: whole, batch: 1))
        #expect(Fixture.structure(whole, shapes: known).groups.map(\.units.count) == [1, 4])
        _ = try check(b.model(out), groups: [["a"], ["grouped"]], shapes: true)
    }

    @Test func pixelShuffle() throws {
        for mode in ["DCR", "CRD"] {
            var b = GraphBuilder(input: [nil, 3, 6, 6])
            let up = b.node("DepthToSpace", [b.conv("x", "a", (3, 24))], "up", [("blocksize", .integer(2)), ("mode", .text(mode))])
            let down = b.node("SpaceToDepth", [b.conv(up, "b", (6, 4))], "down", [("blocksize", .integer(2))])
            _ = try check(b.model(b.conv(down, "out", (16, 2))), groups: [["a"], ["b"]])
        }
    }

    @Test func resizeAndPad() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 6], opset: 13)
        b.graph.initializers["scales"] = Tensor(name: "scales", floats: [1, 1, 2, 2], dims: [4])
        let up = b.node("Resize", [b.conv("x", "a", (3, 8)), "", "scales"], "up", [("mode", .text("nearest"))])
        let padded = b.node("Pad", [up, b.integers("pads", [0, 0, 1, 1, 0, 0, 2, 2])], "padded")
        // Batch and channels from the value itself, the image from constants.
        let front = b.node("Slice", [b.node("Shape", [padded], "shape"), b.integers("0", [0]), b.integers("2", [2])], "front")
        let sizes = b.node("Concat", [front, b.integers("image", [9, 7])], "sizes", [("axis", .integer(0))])
        let sized = b.node("Resize", [padded, "", "", sizes], "sized", [("mode", .text("linear"))])
        _ = try check(b.model(b.conv(sized, "out", (8, 2))), groups: [["a"]])
    }

    @Test func reductionsAndDimensions() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let a = b.conv("x", "a", (3, 8))
        let mean = b.node("ReduceMean", [a], "mean", [("axes", .integers([-1, 2])), ("keepdims", .integer(0))])
        let wide = b.node("Unsqueeze", [mean, b.integers("added", [1, -1])], "wide")
        let narrow = b.node("Squeeze", [wide, b.integers("removed", [1, 3])], "narrow")
        let maximum = b.node("Squeeze", [b.node("ReduceMax", [a], "max", [("axes", .integers([2, 3]))]), b.integers("image", [-2, -1])], "flat")
        let sum = b.node("Max", [narrow, maximum], "larger")
        _ = try check(b.model(b.gemm(sum, "out", (8, 3))), groups: [["a"]])
    }

    @Test func expandAndTile() throws {
        var b = GraphBuilder(input: [nil, 3, 6, 5])
        let pooled = b.node("GlobalMaxPool", [b.conv("x", "a", (3, 8))], "pool")
        let wide = b.node("Expand", [pooled, b.integers("target", [1, 8, 6, 5])], "wide")
        let tiled = b.node("Tile", [wide, b.integers("repeats", [1, 1, 2, 1])], "tiled")
        _ = try check(b.model(b.conv(tiled, "out", (8, 2))), groups: [["a"]])
    }

    @Test func softmaxOverTheImage() throws {
        for opset in [12, 17] {
            var b = GraphBuilder(input: [nil, 3, 6, 5], opset: opset)
            let soft = b.node("Softmax", [b.conv("x", "a", (3, 8))], "soft", [("axis", .integer(3))])
            _ = try check(b.model(b.conv(soft, "out", (8, 2))), groups: [["a"]])
        }
    }

    /// Weights that a Reshape makes a matrix of, as CNTK writes its last layer.
    @Test func reshapedWeights() throws {
        var b = GraphBuilder(input: [1, 3, 4, 4])
        let flat = b.node("Reshape", [b.conv("x", "a", (3, 8)), b.integers("flat.target", [1, 128])], "flat")
        let matrix = b.node("Reshape", [b.constant("weights", [8, 4, 4, 5]), b.integers("matrix.target", [128, 5])], "matrix")
        let model = b.model(b.node("MatMul", [flat, matrix], "out"))
        let inputs = Fixture.inputs(for: model)
        let applied = try Fixture.apply(Fixture.recipe("structured-pruning", ["ratio": .real(0.5)]), to: model, shapes: Fixture.shapes(of: model, inputs))
        #expect(applied.model.graph.initializers["weights"]?.dims == [4, 4, 4, 5])
        // The convolution's output goes straight into the product: removed channels count as zero channels.
        var masked = model
        let norms = OutputNorms(of: [try #require(model.graph.initializers["a.weight"])], axis: 0).l1
        let weakest = Set(norms.indices.sorted { norms[$0] < norms[$1] }.prefix(4))
        for name in ["a.weight", "a.bias"] {
            let tensor = try #require(model.graph.initializers[name])
            let slice = tensor.count / 8
            masked.graph.initializers[name] = tensor.withFloats((tensor.floats() ?? []).enumerated().map { weakest.contains($0 / slice) ? 0 : $1 })
        }
        #expect(try Fixture.difference(Fixture.run(masked, inputs), Fixture.run(applied.model, inputs)) < 2e-6)
    }
}
