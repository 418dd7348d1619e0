import ModelGraph

/// A graph of single kernels beside each other, each with an input of its own, to be profiled.
package enum KernelGraph {
    /// Prefix of the names of all nodes and values of a kernel: the runtime derives the names of what it fuses from them.
    package static func prefix(_ number: Int) -> String { "kernel\(number)." }

    package static func model(_ kernels: [Kernel]) -> (model: Model, inputs: [Tensor]) {
        var graph = Graph(name: "kernels")
        var inputs: [Tensor] = []
        for (number, kernel) in kernels.enumerated() {
            var builder = Builder(prefix: prefix(number), graph: graph)
            inputs.append(builder.add(kernel))
            graph = builder.graph
        }
        return (Model(graph: graph, opset: 17, irVersion: 8), inputs)
    }

    private struct Builder {
        let prefix: String
        var graph: Graph

        private mutating func constant(_ name: String, _ tensor: Tensor) -> String {
            var tensor = tensor
            tensor.name = prefix + name
            graph.initializers[tensor.name] = tensor
            return tensor.name
        }

        private mutating func node(_ type: String, _ inputs: [String], _ outputs: [String], _ attributes: [Attribute] = []) {
            graph.nodes.append(Node(type, name: prefix + type + "\(graph.nodes.count)", inputs: inputs, outputs: outputs.map { prefix + $0 }, attributes: attributes))
        }

        /// Small numbers of both signs, none of them denormal.
        private func floats(_ count: Int) -> [Float] { (0..<count).map { Float(($0 * 37) % 19 - 9) * 0.013 } }

        mutating func add(_ kernel: Kernel) -> Tensor {
            let isConvolution = kernel.operation == .convolution
            let dims = isConvolution ? [1, kernel.inputs] + kernel.extents : kernel.extents + [kernel.inputs]
            let weightDims = isConvolution ? [kernel.outputs, kernel.inputs / kernel.group] + kernel.window : [kernel.inputs, kernel.outputs]
            let count = weightDims.reduce(1, *)
            let attributes: [Attribute] =
                isConvolution
                ? [
                    Attribute("group", .int(Int64(kernel.group))), Attribute("kernel_shape", .ints(kernel.window.map(Int64.init))),
                    Attribute("strides", .ints(kernel.strides.map(Int64.init))), Attribute("dilations", .ints(kernel.dilations.map(Int64.init))),
                    Attribute("pads", .ints(kernel.pads.map(Int64.init))),
                ] : []
            let axis = isConvolution ? 0 : 1
            let operation = isConvolution ? "Conv" : "MatMul"
            let elements = dims.reduce(1, *)
            let input = prefix + "x"
            func declare(_ type: ElementType, _ output: ElementType) {
                graph.inputs.append(ValueInfo(name: input, elementType: type, shape: dims.map { .fixed($0) }))
                graph.outputs.append(ValueInfo(name: prefix + "y", elementType: output, shape: nil))
            }
            func codes() -> Tensor { Tensor(name: "", int8s: (0..<count).map { Int8(($0 * 37) % 201 - 100) }, dims: weightDims) }
            func scales() -> Tensor { Tensor(name: "", floats: [Float](repeating: 0.001, count: kernel.outputs), dims: [kernel.outputs]) }
            func zeros() -> Tensor { Tensor(name: "", int8s: [Int8](repeating: 0, count: kernel.outputs), dims: [kernel.outputs]) }
            switch kernel.form {
            case .float:
                declare(.float32, .float32)
                let weight = constant("w", Tensor(name: "", floats: floats(count), dims: weightDims))
                node(operation, [input, weight], ["y"], attributes)
            case .half:
                declare(.float16, .float16)
                let weight = constant("w", Tensor(name: "", float16s: floats(count).map { Float16($0) }, dims: weightDims))
                node(operation, [input, weight], ["y"], attributes)
                return Tensor(name: input, float16s: floats(elements).map { Float16($0) }, dims: dims)
            case .dequantized:
                declare(.float32, .float32)
                let (weight, scale, zero) = (constant("w", codes()), constant("s", scales()), constant("z", zeros()))
                node("DequantizeLinear", [weight, scale, zero], ["f"], [Attribute("axis", .int(Int64(axis)))])
                node(operation, [input, prefix + "f"], ["y"], attributes)
            case .staticInt8:
                declare(.uint8, .uint8)
                let (weight, scale, zero) = (constant("w", codes()), constant("s", scales()), constant("z", zeros()))
                let step = constant("t", Tensor(name: "", floats: [0.02], dims: []))
                let middle = constant("m", Tensor(name: "", uint8s: [128], dims: []))
                node("DequantizeLinear", [input, step, middle], ["a"])
                node("DequantizeLinear", [weight, scale, zero], ["f"], [Attribute("axis", .int(Int64(axis)))])
                node(operation, [prefix + "a", prefix + "f"], ["b"], attributes)
                node("QuantizeLinear", [prefix + "b", step, middle], ["y"])
                return Tensor(name: input, uint8s: (0..<elements).map { UInt8(($0 * 37) % 251) }, dims: dims)
            case .dynamicInt8:
                declare(.float32, .float32)
                let weight = constant("w", codes())
                let scale = constant("s", isConvolution ? Tensor(name: "", floats: [0.001], dims: []) : scales())
                let zero = constant("z", isConvolution ? Tensor(name: "", int8s: [0], dims: []) : zeros())
                node("DynamicQuantizeLinear", [input], ["q", "qs", "qz"])
                node(isConvolution ? "ConvInteger" : "MatMulInteger", [prefix + "q", weight, prefix + "qz", zero], ["i"], attributes)
                node("Cast", [prefix + "i"], ["c"], [Attribute("to", .int(1))])
                node("Mul", [prefix + "qs", scale], ["p"])
                node("Mul", [prefix + "c", prefix + "p"], ["y"])
            }
            return Tensor(name: input, floats: floats(elements), dims: dims)
        }
    }
}
