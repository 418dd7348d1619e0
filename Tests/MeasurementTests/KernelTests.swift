import ModelGraph
import Testing

@testable import Measurement

@Suite struct KernelTests {
    private let convolution = Kernel(convolution: [32, 32], inputs: 16, outputs: 32, window: [3, 3], strides: [2, 2])

    @Test func extentsAndWork() {
        #expect(convolution.outputExtents == [16, 16])
        #expect(convolution.macs == 16 * 16 * 9 * 16 * 32)
        let dilated = Kernel(convolution: [20], inputs: 4, outputs: 8, window: [3], dilations: [2], pads: [0, 0])
        #expect(dilated.outputExtents == [16])
        let depthwise = Kernel(convolution: [8, 8], inputs: 24, outputs: 24, group: 24, window: [3, 3])
        #expect(depthwise.macs == 64 * 9 * 24)
        let half = depthwise.with(inputs: 12, outputs: 12)
        #expect(half.group == 12 && half.inputs == 12 && half.outputs == 12)
        #expect(Kernel(product: 6, inputs: 10, outputs: 5).macs == 300)
    }

    @Test func variantsAreDistinct() {
        for kernel in [convolution, Kernel(product: 1, inputs: 784, outputs: 300), Kernel(convolution: [8, 8], inputs: 64, outputs: 64, group: 64, window: [3, 3])] {
            let variants = kernel.variants
            #expect(variants.first == kernel && Set(variants).count == variants.count)
            #expect(Set(variants.map(\.form)) == Set(KernelForm.allCases))
            #expect(variants.allSatisfy { $0.inputs > 0 && $0.outputs > 0 && $0.inputs % $0.group == 0 && $0.outputs % $0.group == 0 })
        }
    }

    /// What was timed is given back; what lies between is near what it lies between; forms do not mix.
    @Test func nearbyKernelsTell() throws {
        var table = KernelTable()
        #expect(table.milliseconds(convolution) == nil)
        for share in [16, 24, 32] { table.insert(convolution.with(outputs: share), milliseconds: Double(share) / 100) }
        #expect(table.milliseconds(convolution) == 0.32)
        let between = try #require(table.milliseconds(convolution.with(outputs: 26)))
        #expect((0.2...0.34).contains(between))
        #expect(table.milliseconds(convolution.with(form: .staticInt8)) == nil)
        let larger = try #require(table.milliseconds(convolution.with(outputs: 128)))
        #expect((0.9...1.4).contains(larger), "work goes on growing: \(larger)")
        table.insert(convolution, milliseconds: 0.4)
        #expect(table.milliseconds(convolution) == 0.4 && table.count == 3)
        table.insert(convolution, milliseconds: .nan)
        #expect(table.milliseconds(convolution) == 0.4)
    }

    /// Names that the runtime makes of a node's name or of its output's lead back to the layer.
    @Test func nodesFindTheirLayers() {
        let weight = Tensor(name: "w", floats: [Float](repeating: 0.1, count: 8), dims: [4, 2])
        let graph = Graph(
            name: "g", nodes: [Node("MatMul", name: "dense_1", inputs: ["x", "w"], outputs: ["y_0"])],
            inputs: [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(4)])], outputs: [ValueInfo(name: "y_0", elementType: .float32, shape: nil)],
            initializers: [weight])
        let model = Model(graph: graph)
        let names = ["dense_1", "dense_1_quant", "y_0_nchwc", "dense_10", "dense"]
        let entries = names.map { OperatorTime(node: $0, opType: "MatMul", milliseconds: 1) } + [OperatorTime(node: "y_0_reorder", opType: "ReorderOutput", milliseconds: 1)]
        let assigned = entries.assigned(to: model.layers(), of: model)
        #expect(assigned.map { $0.layer != nil } == [true, true, true, false, false, false])
        #expect(assigned.byLayer == ["dense_1": 3])
    }
}
