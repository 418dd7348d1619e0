import ModelGraph

/// In which form the runtime computes a layer, as far as time hangs on it.
public enum KernelForm: String, Sendable, Codable, CaseIterable {
    case float
    /// Integers between layers, ranges known beforehand.
    case staticInt8 = "static-int8"
    /// The input's range is found at every call.
    case dynamicInt8 = "dynamic-int8"
    case half
    /// Integer weights that are made floats at every call.
    case dequantized
}

/// One operator with weights, as far as its time goes.
package struct Kernel: Hashable, Sendable, Codable {
    package enum Operation: String, Sendable, Codable { case convolution, product }

    package var operation: Operation
    package var form: KernelForm
    /// Channels in, of all groups; of a product the length of its sums.
    package var inputs: Int
    package var outputs: Int
    package var group = 1
    /// Positions of the input: spatial extents of a convolution, rows of a product.
    package var extents: [Int]
    package var window: [Int] = []
    package var strides: [Int] = []
    package var dilations: [Int] = []
    /// Before and after each axis.
    package var pads: [Int] = []

    package init(product rows: Int, inputs: Int, outputs: Int, form: KernelForm = .float) {
        operation = .product
        self.form = form
        (self.inputs, self.outputs, extents) = (inputs, outputs, [rows])
    }

    package init(
        convolution extents: [Int], inputs: Int, outputs: Int, group: Int = 1, window: [Int], strides: [Int]? = nil, dilations: [Int]? = nil,
        pads: [Int]? = nil, form: KernelForm = .float
    ) {
        operation = .convolution
        self.form = form
        (self.inputs, self.outputs, self.group) = (inputs, outputs, group)
        (self.extents, self.window) = (extents, window)
        self.strides = strides ?? window.map { _ in 1 }
        self.dilations = dilations ?? window.map { _ in 1 }
        self.pads = pads ?? (window + window).map { $0 / 2 }
    }

    /// The kernel of a layer at batch 1; `nil` for recurrent layers, embeddings and transposed convolutions, and where shapes are unknown.
    package init?(_ layer: Layer, in model: Model, shapes: ValueShapes) {
        guard layer.path.isMain, layer.weightShape.allSatisfy({ $0 > 0 }) else { return nil }
        let node = model.graph.nodes[layer.nodeIndex]
        guard let output = node.outputs.first.flatMap({ shapes[$0] }) else { return nil }
        let form: KernelForm =
            layer.quantization.map { $0.opType == "DequantizeLinear" ? .dequantized : .dynamicInt8 } ?? (layer.weightType == .float16 ? .half : .float)
        switch layer.kind {
        case .conv:
            guard let input = node.input(0).flatMap({ shapes[$0] }), input.dims.count == layer.weightShape.count, input.dims.count > 2, output.dims.count == input.dims.count
            else { return nil }
            let window = Array(layer.weightShape[2...])
            let ones = window.map { _ in 1 }
            let strides = node.ints("strides") ?? ones
            let dilations = node.ints("dilations") ?? ones
            var pads = node.ints("pads") ?? ones.map { _ in 0 } + ones.map { _ in 0 }
            if let automatic = node.string("auto_pad"), automatic.hasPrefix("SAME") {
                let totals = window.indices.map { axis in
                    max((output.dims[axis + 2] - 1) * strides[axis] + dilations[axis] * (window[axis] - 1) + 1 - input.dims[axis + 2], 0)
                }
                let less = totals.map { $0 / 2 }
                let more = zip(totals, less).map(-)
                pads = automatic == "SAME_UPPER" ? less + more : more + less
            }
            guard strides.count == window.count, dilations.count == window.count, pads.count == 2 * window.count else { return nil }
            self.init(
                convolution: Array(input.dims[2...]), inputs: input.dims[1], outputs: layer.weightShape[0], group: layer.group, window: window,
                strides: strides, dilations: dilations, pads: pads, form: form)
        case .gemm, .matMul:
            guard layer.weightShape.count == 2 else { return nil }
            let outputs = layer.weightShape[layer.outputAxis]
            self.init(product: max(output.count / outputs, 1), inputs: layer.weightShape[layer.inputAxis], outputs: outputs, form: form)
        case .convTranspose, .lstm, .gru, .rnn, .embedding:
            return nil
        }
    }

    /// Spatial extents of the output.
    package var outputExtents: [Int] {
        guard operation == .convolution else { return extents }
        return window.indices.map { axis in
            max((extents[axis] + pads[axis] + pads[axis + window.count] - dilations[axis] * (window[axis] - 1) - 1) / strides[axis] + 1, 1)
        }
    }

    /// Whether channels do not fill the blocks of the runtime's own layout for convolutions, so that it computes in the plain one. The first layers' few
    /// input channels do not count: there is a kernel for them.
    package var isUnblocked: Bool {
        let block = InstructionSet.current.hasPrefix("AVX512") ? 16 : 8
        return operation == .convolution && (outputs % block != 0 || (inputs % block != 0 && (group > 1 || inputs > 4)))
    }

    package var positions: Int { outputExtents.reduce(1, *) }
    package var windowElements: Int { window.reduce(1, *) }
    package var macs: Double { Double(positions) * Double(windowElements) * Double(inputs / max(group, 1)) * Double(outputs) }
    /// Elements of input, output and weights.
    package var elements: Double {
        Double(inputs * extents.reduce(1, *)) + Double(outputs * positions) + Double(windowElements * (inputs / max(group, 1)) * outputs)
    }

    package func with(inputs: Int? = nil, outputs: Int? = nil, form: KernelForm? = nil) -> Kernel {
        var kernel = self
        kernel.form = form ?? self.form
        if group > 1, group == self.inputs {
            // Depthwise: channels in and out go together.
            let channels = max(min(inputs ?? self.inputs, outputs ?? self.outputs), 1)
            (kernel.inputs, kernel.group) = (channels, channels)
            kernel.outputs = channels * max(self.outputs / self.inputs, 1)
            return kernel
        }
        kernel.inputs = max((inputs ?? self.inputs) / group, 1) * group
        kernel.outputs = max((outputs ?? self.outputs) / group, 1) * group
        return kernel
    }
}
