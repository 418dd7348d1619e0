import CompressionEngine
import Foundation
import ModelGraph
import Testing

@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// What is written in any notation is read back as the same recipe.
@Suite struct RecipeFormTests {
    /// Names that mean something in one notation or another.
    static let names = [
        "/ip1/Gemm", "conv*", "a b", "naïve ✓", "a;b/BiasAdd;c", "a;rank=3@b", "x,y", "user@host", "\"quoted\"", "back\\slash", "!not", "kind:conv", "layer:conv:1:0:x",
        "layer:", "0..3", "3..1", "..", "all", "null", "true", "12", "-", "- x", "{a: b}", "[a]", "# no remark", "a: b", "tab\there", "line\nbreak", "return\r\nline",
        "\u{7F}\u{85}\u{2028}", "",
        "\u{301}accent", "?", "~", "=",
    ]

    static func recipe(_ descriptor: TechniqueDescriptor, _ numbers: inout SeededGenerator) -> Recipe {
        func some(_ limit: Int, _ body: () -> Void) { for _ in 0..<numbers.below(limit) { body() } }
        func value(_ parameter: ParameterDescriptor) -> ParameterValue {
            switch parameter.domain {
            case .real(let range, _):
                let drawn = range.lowerBound + (range.upperBound - range.lowerBound) * Double(numbers.below(1 << 20)) / Double(1 << 20)
                // As if typed: the text of a number is that number.
                let typed = Double(ParameterValue.real(drawn).text) ?? drawn
                return .real(min(max(typed, range.lowerBound), range.upperBound))
            case .integer(let range, _): return .integer(range.lowerBound + numbers.below(min(range.upperBound - range.lowerBound, 1 << 30) + 1))
            case .choice(let choices): return .choice(choices[numbers.below(choices.count)].name)
            case .flag: return .flag(numbers.below(2) == 1)
            }
        }
        func values() -> ParameterValues {
            var values = ParameterValues()
            for parameter in descriptor.parameters where numbers.below(2) == 1 { values[parameter.name] = value(parameter) }
            return values
        }
        func pattern() -> LayerPattern {
            let kind = Layer.Kind.allCases[numbers.below(Layer.Kind.allCases.count)].rawValue
            switch numbers.below(4) {
            case 0: return .name(names[numbers.below(names.count)])
            case 1: return .kind(kind)
            case 2:
                let low = numbers.below(40)
                return .positions(low..<low + numbers.below(9))
            default:
                return .layer(name: names[numbers.below(names.count)], kind: kind, shape: (0..<numbers.below(5)).map { _ in numbers.below(5000) }, occurrence: numbers.below(12))
            }
        }
        func selector() -> LayerSelector {
            var selector = LayerSelector()
            some(4) { selector.include.append(pattern()) }
            some(3) { selector.exclude.append(pattern()) }
            return selector
        }
        var recipe = Recipe(
            name: names[numbers.below(names.count)], modelHash: numbers.below(2) == 0 ? nil : ContentHash(of: "m").tagged,
            seed: numbers.below(3) == 0 ? .max : UInt64(numbers.below(9)))
        some(4) {
            var step = RecipeStep(technique: descriptor.id, parameters: values(), layers: selector(), enabled: numbers.below(4) != 0, optional: numbers.below(3) == 0)
            some(3) { step.overrides.append(LayerOverride(layers: selector(), parameters: values())) }
            recipe.steps.append(step)
        }
        return recipe
    }

    @Test(arguments: TechniqueRegistry.all.map(\.descriptor.id))
    func everyNotationRoundTrips(technique: String) throws {
        let descriptor = try #require(TechniqueRegistry.technique(technique)?.descriptor)
        var numbers = SeededGenerator(seed: ContentHash(of: technique).low)
        for _ in 0..<40 {
            let recipe = Self.recipe(descriptor, &numbers)
            #expect(try Recipe(form: recipe.form) == recipe)
            #expect(try Recipe.parse(recipe.yaml, file: "r.yaml") == recipe, "\(recipe.yaml)")
            let json = try JSONEncoder().encode(recipe.form)
            #expect(try Recipe(form: JSONDecoder().decode(RecipeForm.self, from: json)) == recipe, "\(String(decoding: json, as: UTF8.self))")
            for step in recipe.steps {
                #expect(try RecipeStep(line: step.line, place: "line") == step, "\(step.line)")
                #expect(!step.line.contains("\n"))
            }
            let normalized = try Recipe(canonical: recipe.canonical)
            #expect(normalized == recipe.normalized, "\(recipe.canonical)")
            #expect(normalized.canonical == recipe.canonical && normalized.contentHash == recipe.contentHash)
        }
    }

    @Test func thatSingleNamesSurviveEveryNotation() throws {
        for name in Self.names {
            for pattern in [LayerPattern.name(name), .layer(name: name, kind: "conv", shape: [], occurrence: 0)] {
                for selector in [LayerSelector(include: [pattern]), LayerSelector(exclude: [pattern]), LayerSelector(include: [pattern, pattern], exclude: [pattern])] {
                    let step = RecipeStep(technique: "svd", layers: selector, overrides: [LayerOverride(layers: selector, parameters: ParameterValues(["rank": .integer(3)]))])
                    #expect(try RecipeStep(line: step.line, place: "line") == step, "\(step.line)")
                    #expect(try Recipe.parse(Recipe(steps: [step]).yaml, file: "r").steps == [step], "\(name)")
                }
            }
        }
    }

    @Test("Recipes have one canonical text and one hash exactly when they do the same")
    func identity() throws {
        let plain = Recipe(seed: 3, steps: [RecipeStep(technique: "magnitude-pruning")])
        let descriptor = try #require(TechniqueRegistry.technique("magnitude-pruning")?.descriptor)
        var same = [plain, plain, plain]
        (same[0].name, same[0].modelHash) = ("named", "xxh3-0")
        same[1].steps[0].parameters = ParameterValues().resolved(by: descriptor)
        same[2].steps.append(RecipeStep(technique: "svd", enabled: false))
        for recipe in same { #expect(recipe.canonical == plain.canonical && recipe.contentHash == plain.contentHash) }
        var other: [Recipe] = []
        func change(_ body: (inout Recipe) -> Void) {
            var changed = plain
            body(&changed)
            other.append(changed)
        }
        change { $0.seed = 4 }
        change { $0.steps[0].optional = true }
        change { $0.steps[0].parameters["sparsity"] = .real(0.51) }
        change { $0.steps[0].layers = .names("a") }
        change { $0.steps[0].layers = LayerSelector(exclude: [.name("a")]) }
        // A name alone is not looked for by structure once it is gone.
        change { $0.steps[0].layers = LayerSelector(include: [.layer(name: "a", kind: "conv", shape: [1], occurrence: 0)]) }
        change { $0.steps[0].layers = LayerSelector(include: [.layer(name: "a", kind: "conv", shape: [1], occurrence: 1)]) }
        change { $0.steps[0].layers = LayerSelector(include: [.name("kind:conv")]) }
        change { $0.steps[0].layers = LayerSelector(include: [.kind("conv")]) }
        change { $0.steps[0].overrides = [LayerOverride(layers: .names("a"), parameters: ParameterValues(["sparsity": .real(0.1)]))] }
        change { $0.steps.append($0.steps[0]) }
        change { $0.steps = [] }
        #expect(Set((other + [plain]).map(\.canonical)).count == other.count + 1)
        #expect(Set((other + [plain]).map(\.contentHash)).count == other.count + 1)
    }

    // MARK: What earlier builds wrote

    static let old = Recipe(
        name: "two \"steps\"", modelHash: "0123456789abcdef0123456789abcdef", seed: 7,
        steps: [
            RecipeStep(
                technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.9), "scope": .choice("layer")]),
                layers: LayerSelector(
                    include: [.name("conv*"), .kind("gemm"), .positions(0..<2)], exclude: [.layer(name: "/ip1/Gemm", kind: "gemm", shape: [500, 800], occurrence: 0)]),
                overrides: [LayerOverride(layers: .names("conv1"), parameters: ParameterValues(["sparsity": .real(0.25)]))], optional: true),
            RecipeStep(technique: "huffman", enabled: false),
        ])

    @Test func yamlOfEarlierBuildsLoadsAndIsStillWrittenLikeThat() throws {
        let text = """
            # Made by lathe; replay with: lathe apply MODEL --recipe FILE --output OUT.onnx
            lathe: 1
            name: "two \\"steps\\""
            model: 0123456789abcdef0123456789abcdef
            seed: 7
            steps:
              - technique: magnitude-pruning
                optional: true
                parameters:
                  scope: layer
                  sparsity: 0.9
                layers:
                  include:
                    - "conv*"
                    - {kind: gemm}
                    - {positions: [0, 2]}
                  exclude:
                    - {name: "/ip1/Gemm", kind: gemm, shape: [500, 800], occurrence: 0}
                overrides:
                  - layers:
                      include:
                        - "conv1"
                    parameters:
                      sparsity: 0.25
              - technique: huffman
                enabled: false

            """
        #expect(try Recipe.parse(text, file: "r.yaml") == Self.old)
        #expect(Self.old.yaml == text)
        // Its model's hash was made another way: nothing can be said of it.
        #expect(!Self.old.isForAnotherModel(than: ContentHash(of: "m").tagged))
        #expect(Recipe(modelHash: ContentHash(of: "n").tagged).isForAnotherModel(than: ContentHash(of: "m").tagged))
    }

    @Test func recipesInSessionLogsOfEarlierBuildsLoad() throws {
        let json = #"""
            {"seed":7,"steps":[{"enabled":true,"layers":{"exclude":[{"kind":"gemm","name":"/ip1/Gemm","occurrence":0,"shape":[500,800]}],"include":[{"name":"conv*"},{"kind":"gemm"},{"from":0,"to":2}]},
            "optional":true,"overrides":[{"layers":{"exclude":[],"include":[{"name":"conv1"}]},"parameters":{"sparsity":"0.25"}}],"parameters":{"scope":"layer","sparsity":"0.9"},"technique":"magnitude-pruning"},
            {"enabled":false,"layers":{"exclude":[],"include":[]},"overrides":[],"parameters":{},"technique":"huffman"}]}
            """#
        let recipe = try Recipe(form: JSONDecoder().decode(RecipeForm.self, from: Data(json.utf8)))
        #expect(recipe == Recipe(seed: 7, steps: Self.old.steps))
    }

    @Test(arguments: [
        (
            "magnitude-pruning:sparsity=0.9,scope=layer@conv*,kind:gemm,0..2,!/conv1/Conv",
            RecipeStep(
                technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.9), "scope": .choice("layer")]),
                layers: LayerSelector(include: [.name("conv*"), .kind("gemm"), .positions(0..<2)], exclude: [.name("/conv1/Conv")]))
        ),
        ("svd?:rank=8@fc*", RecipeStep(technique: "svd", parameters: ParameterValues(["rank": .integer(8)]), layers: .names("fc*"), optional: true)),
        ("huffman", RecipeStep(technique: "huffman")),
        ("svd@model/a/BiasAdd;model/a/MatMul", RecipeStep(technique: "svd", layers: .names("model/a/BiasAdd;model/a/MatMul"))),
        ("svd@a@0", RecipeStep(technique: "svd", layers: .names("a@0"))),
    ])
    func stepsAsTypedForEarlierBuildsAreRead(text: String, step: RecipeStep) throws { #expect(try RecipeStep(line: text, place: "--step") == step) }

    /// Values that are defaults need not be typed; the short line means the same.
    @Test func aShortLineLeavesDefaultsOut() throws {
        for technique in TechniqueRegistry.all {
            let descriptor = technique.descriptor
            let whole = RecipeStep(technique: descriptor.id, parameters: ParameterValues().resolved(by: descriptor), layers: .names("fc*"), optional: true)
            #expect(whole.shortLine == "\(descriptor.id)?@fc*", "\(whole.shortLine)")
        }
        let step = try RecipeStep(line: "static-int8:activations=uint8,weight-bits=7,weights=channel;weights=tensor@fc*", place: "--step")
        #expect(step.shortLine == "static-int8:weight-bits=7;weights=tensor@fc*", "\(step.shortLine)")
    }

    @Test func storedTrialsOfEarlierBuildsHoldTheirRecipe() throws {
        var key = TrialKey(kind: "evaluation 2", modelHash: "m", dataHash: "d", recipe: Recipe(seed: 7, steps: Self.old.steps).normalized.yaml, runtime: "r", threads: 1)
        #expect(try key.storedRecipe() == Self.old.normalized)
        key.recipe = Self.old.canonical
        #expect(try key.storedRecipe() == Self.old.normalized)
    }

    // MARK: Errors

    @Test(arguments: [
        ("alchemy", "no technique 'alchemy'"), ("svd:rank", "expected key=value, found 'rank'"), ("svd:rnak=8", "unknown key 'rnak'"), ("svd:rank=8,rank=9", "given twice"),
        ("svd:rank=many", "rank: expected a whole number"), ("svd@", "expected layers"), ("svd@kind:konv", "convTranspose"), ("svd@3..1", "positions"), ("svd@\"open", "second"),
        ("svd@\"a\"b", "before 'b'"), ("svd;@a:b;c=d@", "unknown key 'c'"), ("", "no technique ''"), ("svd~~", "no technique 'svd~'"),
    ])
    func errorsSayWhatIsWrong(text: String, part: String) throws {
        let error = #expect(throws: EngineError.self) { try RecipeStep(line: text, place: "--step '\(text)'") }
        let message = try #require(error?.message)
        #expect(message.hasPrefix("--step '\(text)': ") && message.contains(part), "\(message)")
    }

    @Test("A small file whose aliases make it huge is refused")
    func aliases() {
        var text = "lathe: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 { text += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n" }
        #expect(throws: EngineError.self) { try Recipe.parse(text + "steps: *a9\n", file: "r.yaml") }
    }
}
