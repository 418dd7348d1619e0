import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Which units go.
@Suite struct PruningSelectionTests {
    @Test func numbersThatMayStay() {
        func keep(_ wanted: Int, _ count: Int, _ multiple: Int, _ minimum: Int = 1) -> Int {
            ChannelSelection.admissible(wanted, of: count, multiple: multiple, minimum: minimum)
        }
        #expect(keep(15, 20, 8) == 16)
        #expect(keep(37, 50, 8) == 40)
        #expect(keep(12, 20, 8) == 16, "the larger of two equally near multiples")
        #expect(keep(3, 20, 8) == 8, "never none")
        #expect(keep(20, 20, 8) == 20, "nothing to remove leaves the number alone")
        #expect(keep(19, 20, 8) == 16)
        #expect(keep(5, 7, 8) == 7, "no multiple fits")
        #expect(keep(0, 10, 1) == 1)
        #expect(keep(1, 10, 1, 4) == 4)
        #expect(keep(1, 3, 1, 4) == 3)
        for count in 1...40 {
            for wanted in 0...count {
                for multiple in [1, 2, 8, 16] {
                    let kept = keep(wanted, count, multiple, 3)
                    #expect(kept >= min(3, count) && kept <= count && (kept % multiple == 0 || kept == count))
                }
            }
        }
    }

    /// A group of one layer with `count` units per group, norms as given.
    private func selection(
        _ model: Model, ratio: Double, scope: String = "layer", criterion: String = "l1", minimum: Int = 1, ratios: [String: Double] = [:]
    ) -> [String: Int] {
        let layers = model.layers()
        let structure = Fixture.structure(model)
        let norms = layers.map { layer in OutputNorms(of: [model.graph.initializers[layer.weight]].compactMap { $0 }, axis: layer.outputAxis) }
        let forecast = ChannelForecast(structure, norms: norms)
        var targets: [Int: ParameterValues] = [:]
        for (index, layer) in layers.enumerated() where structure.refusals[index] == nil {
            targets[index] = ParameterValues([
                "ratio": .real(ratios[layer.id] ?? ratio), "scope": .choice(scope), "criterion": .choice(criterion), "keep-at-least": .integer(minimum),
            ]).resolved(by: StructuredPruning().descriptor)
        }
        let chosen = ChannelSelection(structure, requests: StructuredPruning.requests(structure, targets)) { forecast.ranking(by: $0) }
        var kept: [String: Int] = [:]
        for (group, count) in zip(structure.groups, chosen.kept) { for layer in group.layers { kept[layers[layer].id] = count } }
        return kept
    }

    @Test func globalScopeRemovesTheFractionOfAll() throws {
        let model = try Fixture.sample("lenet-5")
        for ratio in [0.1, 0.37, 0.8] {
            let kept = selection(model, ratio: ratio, scope: "global")
            let total = 20 + 50 + 500
            #expect(kept.values.reduce(0, +) == total - Int((ratio * Double(total)).rounded()))
        }
        let kept = selection(model, ratio: 0.95, scope: "global", minimum: 5)
        #expect(kept.values.allSatisfy { $0 >= 5 })
    }

    /// Norms relative to their layer's mean: scaling a layer changes nothing.
    @Test func globalScopeIsIndependentOfScale() throws {
        var model = try Fixture.sample("resnet-8")
        for criterion in ["l1", "l2"] {
            let before = selection(model, ratio: 0.4, scope: "global", criterion: criterion)
            for (name, factor) in [("stage1.conv1.weight", Float(256)), ("stage3.conv2.weight", 0.0625)] {
                let tensor = try #require(model.graph.initializers[name])
                model.graph.initializers[name] = tensor.withFloats((tensor.floats() ?? []).map { $0 * factor })
            }
            #expect(selection(model, ratio: 0.4, scope: "global", criterion: criterion) == before)
        }
    }

    @Test func theSmallestRatioOfCoupledLayersCounts() throws {
        let model = try Fixture.sample("resnet-8")
        let kept = selection(model, ratio: 0.5, ratios: ["/stage2/shortcut/Conv": 0.25, "/stage3/conv1/Conv": 0])
        #expect(kept["/stage2/conv2/Conv"] == 24)
        #expect(kept["/stage2/conv1/Conv"] == 16)
        #expect(kept["/stage3/conv1/Conv"] == 64)
    }

    /// L1 and L2 rank a spread-out filter and a peaked one differently.
    @Test func criteriaDiffer() throws {
        var b = GraphBuilder(input: [nil, 4])
        let model: Model = {
            let hidden = b.gemm("x", "hidden", (4, 2))
            b.graph.initializers["hidden.weight"] = Tensor(name: "hidden.weight", floats: [1, 1, 1, 1, 3, 0, 0, 0], dims: [2, 4])
            return b.model(b.gemm(hidden, "out", (2, 2)))
        }()
        func first(_ criterion: String) throws -> [Float] {
            let recipe = Fixture.recipe("structured-pruning", ["ratio": .real(0.5), "criterion": .choice(criterion), "keep-at-least": .integer(1)])
            return try #require(Fixture.apply(recipe, to: model).model.graph.initializers["hidden.weight"]?.floats())
        }
        #expect(try first("l1") == [1, 1, 1, 1])
        #expect(try first("l2") == [3, 0, 0, 0])
    }
}
