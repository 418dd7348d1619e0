import ModelGraph
import Testing

@testable import Measurement

/// Energy by hand from Horowitz, "Computing's Energy Problem", ISSCC 2014 (45 nm): float32 add 0.9 and multiply 3.7 pJ, float16 0.4 and 1.1, int8 0.03 and
/// 0.2; reading 32 bits costs 5 pJ from SRAM and 640 pJ from DRAM.
@Suite struct EnergyTests {
    @Test(arguments: [(32.0, 4.6), (16.0, 1.5), (8.0, 0.23), (4.0, 0.23)]) func oneMultiplyAccumulate(bits: Double, picojoules: Double) {
        #expect(abs(EnergyModel.macPicojoules(bits: bits) - picojoules) < 1e-12)
    }

    /// LeNet-300-100 of Deep Compression: 266,200 MACs, 266,610 weights of 32 bits, 810 activations written and read once.
    /// 266,200 · 4.6 = 1,224,520; 266,610 · 640 = 170,630,400; 810 · 2 · 5 = 8,100.
    @Test func lenetByHand() {
        let dense = EnergyModel.picojoules(macs: [(266_200, 32)], weightBits: 266_610 * 32, activationBits: 810 * 32)
        #expect(abs(dense - 171_863_020) < 1e-3)
        // In integers of 8 bits: 266,200 · 0.23 = 61,226; a quarter of the DRAM's and of the SRAM's words.
        let integers = EnergyModel.picojoules(macs: [(266_200, 8)], weightBits: 266_610 * 8, activationBits: 810 * 8)
        #expect(abs(integers - (61_226 + 42_657_600 + 2_025)) < 1e-3)
    }

    /// Costs of parts add up.
    @Test func partsAddUp() {
        let whole = EnergyModel.picojoules(macs: [(1000, 32), (500, 8)], weightBits: 3200, activationBits: 640)
        let parts =
            EnergyModel.picojoules(macs: [(1000, 32)], weightBits: 3200, activationBits: 0) + EnergyModel.picojoules(macs: [(500, 8)], weightBits: 0, activationBits: 640)
        #expect(abs(whole - parts) < 1e-9)
        #expect(EnergyModel.picojoules(macs: [], weightBits: 0, activationBits: 0) == 0)
    }

    /// A dense layer 8 → 4 with a bias and a Relu: 32 MACs · 4.6 = 147.2; 36 words from DRAM · 640 = 23,040; 8 words written and read · 5 = 80.
    @Test func countedOnAGraph() throws {
        var graph = Graph(name: "dense")
        graph.inputs = [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(8)])]
        graph.outputs = [ValueInfo(name: "y", elementType: .float32, shape: [.fixed(1), .fixed(4)])]
        graph.initializers["w"] = Tensor(name: "w", floats: (0..<32).map { Float($0) + 1 }, dims: [8, 4])
        graph.initializers["b"] = Tensor(name: "b", floats: [1, 2, 3, 4], dims: [4])
        graph.nodes = [
            Node("Gemm", name: "dense", inputs: ["x", "w", "b"], outputs: ["z"]), Node("Relu", name: "relu", inputs: ["z"], outputs: ["y"]),
        ]
        let shapes = ValueShapes([
            "x": .init(dims: [1, 8], elementType: .float32), "z": .init(dims: [1, 4], elementType: .float32), "y": .init(dims: [1, 4], elementType: .float32),
        ])
        let figures = try FigureCounting.figures(of: Model(graph: graph), shapes: shapes)
        #expect(figures.macs?.value == 32)
        let energy = try #require(figures.energyPicojoules)
        #expect(abs(energy.value - 23_267.2) < 1e-6 && energy.provenance == .modeled, "\(energy.value)")
    }
}
