import Testing

@testable import EngineSupport
@testable import Recipes
@testable import Techniques

@Suite struct RecipeTests {
    static let text = """
        lathe: 1
        name: "small \\"one\\""
        seed: 7
        steps:
          - technique: magnitude-pruning
            parameters: {sparsity: 0.9, scope: layer}
            layers:
              include: ["conv*", {kind: gemm}, {positions: [0, 2]}]
              exclude: [{name: fc, kind: gemm, shape: [10, 500], occurrence: 0}]
            overrides:
              - layers: conv1
                parameters: {sparsity: 0.3}
          - technique: magnitude-pruning
            enabled: false
        """

    @Test func yamlRoundTrips() throws {
        let recipe = try Recipe.parse(Self.text, file: "r.yaml")
        #expect(recipe.steps.count == 2)
        #expect(recipe.steps[0].parameters["sparsity"] == .real(0.9))
        #expect(recipe.steps[0].overrides[0].parameters["sparsity"] == .real(0.3))
        #expect(try Recipe.parse(recipe.yaml, file: "again") == recipe)
    }

    /// Each damage is an error that names the file, the line and what was expected.
    @Test(arguments: [
        ("lathe: 2\nsteps: []", 1, "version"),
        ("lathe: 1\nstep: []", 2, "unknown key 'step'"),
        ("lathe: 1\nsteps:\n  - technique: no-such", 3, "no technique 'no-such'"),
        ("lathe: 1\nsteps:\n  - technique: magnitude-pruning\n    parameters:\n      sparsity: 1.5", 5, "a number from 0 to 0.99"),
        ("lathe: 1\nsteps:\n  - technique: magnitude-pruning\n    parameters:\n      sparsness: 0.5", 5, "unknown key 'sparsness'"),
        ("lathe: 1\nsteps:\n  - technique: magnitude-pruning\n    layers: [{kind: konv}]", 4, "convTranspose"),
        ("lathe: 1\nseed: -1\nsteps: []", 2, "seed"),
    ])
    func errorsNameTheLine(text: String, line: Int, part: String) throws {
        let error = #expect(throws: EngineError.self) { try Recipe.parse(text, file: "r.yaml") }
        let message = try #require(error?.message)
        #expect(message.hasPrefix("r.yaml:\(line): "), "\(message)")
        #expect(message.contains(part), "\(message)")
        #expect(!message.contains("\n"))
    }

    @Test func globsMatchAsShellsDo() {
        #expect(LayerPattern.glob("conv*", "conv1"))
        #expect(LayerPattern.glob("*weight", "fc.weight"))
        #expect(LayerPattern.glob("l*r*/fc", "layer/0/fc"))
        #expect(!LayerPattern.glob("conv", "conv1"))
        #expect(!LayerPattern.glob("a*a", "a"))
    }

    @Test func steppingStaysOnTheGridAndInTheRange() {
        let parameter = ParameterDescriptor(
            "p", title: "p", domain: .real(0...0.99, step: 0.01), default: .real(0.5), help: "")
        var value = ParameterValue.real(0.5)
        for _ in 0..<200 { value = parameter.stepped(value, by: 1) }
        #expect(value == .real(0.99))
        for _ in 0..<49 { value = parameter.stepped(value, by: -1) }
        #expect(value == .real(0.5))
        // 200 steps down from anywhere end at the bound, not beside it.
        #expect(parameter.stepped(.real(0.123), by: -200) == .real(0))
    }
}
