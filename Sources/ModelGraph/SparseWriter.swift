import Foundation

extension Graph {
    /// Puts initializers into the forms that leave their zeros out, here and in subgraphs.
    /// - Parameters:
    ///   - opset: version of the standard operator set.
    ///   - names: of the whole model.
    mutating func restoreSparseForms(opset: Int, _ names: inout NameSupply) throws(ModelGraphError) {
        for index in nodes.indices {
            for position in nodes[index].attributes.indices {
                switch nodes[index].attributes[position].value {
                case .graph(var body):
                    try body.restoreSparseForms(opset: opset, &names)
                    nodes[index].attributes[position].value = .graph(body)
                case .graphs(var bodies):
                    for body in bodies.indices { try bodies[body].restoreSparseForms(opset: opset, &names) }
                    nodes[index].attributes[position].value = .graphs(bodies)
                default: break
                }
            }
        }
        guard !sparseForms.isEmpty else { return }
        var writer = SparseWriter(names, opset: opset)
        for unit in SparsePlan(self, opset: opset).units {
            if unit.isIndexed {
                guard let member = unit.members.first else { continue }
                preserved.sparseInitializer.append(sparseProto(of: member))
            } else {
                guard let stream = SparseStream(unit) else { continue }
                try writer.add(unit, stream)
            }
            for member in unit.members {
                initializers[member.tensor.name] = nil
                constantNodes[member.tensor.name] = nil
            }
        }
        names = writer.names
        for tensor in writer.tensors { initializers[tensor.name] = tensor }
        nodes = writer.nodes + nodes
        sparseForms = [:]
    }

    /// A tensor as `sparse_initializer`, with positions counted through all dimensions; as it was read, if it is still the same.
    private func sparseProto(of elements: SparseElements) -> OnnxSparseTensorProto {
        let tensor = elements.tensor
        if let read = sparseSources[tensor.name], read.storage === tensor.storage { return read.proto }
        var proto = OnnxSparseTensorProto()
        proto.dims = tensor.dims.map(Int64.init)
        var positions: [Int64] = []
        var values: [UInt8] = []
        for position in 0..<tensor.count {
            let pattern = elements.pattern(position)
            guard pattern != 0 else { continue }
            positions.append(Int64(position))
            for byte in 0..<elements.width { values.append(UInt8(truncatingIfNeeded: pattern >> UInt64(8 * byte))) }
        }
        proto.values.name = tensor.name
        proto.values.dataType = tensor.elementType.rawValue
        proto.values.dims = [Int64(positions.count)]
        proto.values.rawData = Data(values)
        proto.indices.dataType = ElementType.int64.rawValue
        proto.indices.dims = [Int64(positions.count)]
        proto.indices.rawData = positions.withUnsafeBytes { Data($0) }
        return proto
    }
}

/// Makes the nodes and initializers that decode sparse units: distances are summed up to positions, and values scattered over a constant. Plain
/// operators of operator set 11; ONNX Runtime evaluates them once, while loading.
private struct SparseWriter {
    private(set) var names: NameSupply
    private let opset: Int
    private(set) var nodes: [Node] = []
    private(set) var tensors: [Tensor] = []
    /// Small constants by what they hold, made once.
    private var constants: [String: String] = [:]

    init(_ names: NameSupply, opset: Int) {
        self.names = names
        self.opset = opset
    }

    mutating func add(_ unit: SparsePlan.Unit, _ stream: SparseStream) throws(ModelGraphError) {
        let type = unit.members[0].tensor.elementType
        let count = stream.gaps.count
        let distances = try unpacked(stream.gaps, bits: unit.gapBits)
        let positions = op("CumSum", [distances, scalar(0)])
        let values: String
        if unit.codebooks.isEmpty {
            values = add(try Tensor(name: "", elementType: type, dims: [count], storage: TensorStorage(copying: stream.values)))
        } else {
            let codes = try unpacked(stream.values, bits: unit.valueBits)
            let parts = unit.members.count == 1 ? [codes] : split(codes, stream.counts)
            var looked: [String] = []
            for (part, codebook) in zip(parts, unit.codebooks) {
                looked.append(op("Gather", [add(try tensor(codebook, type)), part]))
            }
            values = looked.count == 1 ? looked[0] : op("Concat", looked, [Attribute("axis", .int(0))])
        }
        let empty = try background(unit, type)
        let flat = op("ScatterElements", [empty, positions, values], [Attribute("axis", .int(0))])
        let dims = unit.members.map(\.tensor.dims)
        if unit.members.count == 1 {
            reshape(flat, dims[0], into: unit.members[0].tensor.name)
        } else {
            let parts = split(flat, unit.members.map(\.tensor.count))
            for (part, member) in zip(parts, unit.members) { reshape(part, member.tensor.dims, into: member.tensor.name) }
        }
    }

    /// What most elements are.
    private mutating func background(_ unit: SparsePlan.Unit, _ type: ElementType) throws(ModelGraphError) -> String {
        let extent = add(Tensor(name: "", int64s: [Int64(unit.total)], dims: [1]))
        // ConstantOfShape has no bfloat16 before operator set 20.
        guard type != .bfloat16 else {
            return op("Cast", [op("ConstantOfShape", [extent], [Attribute("value", .tensor(try tensor([0], .float32)))])], [Attribute("to", .integer(Int(type.rawValue)))])
        }
        // The value is written out even where it is the default: not every program has the default.
        return op("ConstantOfShape", [extent], [Attribute("value", .tensor(try tensor([unit.members[0].fill], type)))])
    }

    /// 32-bit integers from bytes, or from codes of fewer bits in bit planes. Planes are taken apart by division in floating point, which is exact here and
    /// computed alike everywhere, unlike shifts of bytes.
    private mutating func unpacked(_ codes: [UInt8], bits: Int) throws(ModelGraphError) -> String {
        guard bits < 8 else { return op("Cast", [add(Tensor(name: "", uint8s: codes, dims: [codes.count]))], [Self.toInt32]) }
        var sum: String?
        for plane in BitPlanes.planes(bits: bits) {
            let parts = 8 / plane.width
            let storage = codes.withUnsafeBytes { BitPlanes.pack($0, plane: plane, offset: 0) }
            let packed = add(try Tensor(name: "", elementType: .uint8, dims: [1, storage.byteCount], storage: storage))
            let bytes = op("Cast", [packed], [Attribute("to", .int(1))])
            // Row r is the byte without its r lowest codes; what the next row has of it is taken away, and the plane's place in the code put in.
            let rows = op("Floor", [op("Mul", [bytes, constant("divide\(plane.width)", (0..<parts).map { 1 / Float(1 << ($0 * plane.width)) }, [parts, 1])])])
            var matrix = [Float](repeating: 0, count: parts * parts)
            for row in 0..<parts {
                matrix[row * parts + row] = Float(1 << plane.shift)
                if row + 1 < parts { matrix[row * parts + row + 1] = -Float(1 << (plane.shift + plane.width)) }
            }
            let values = op("MatMul", [constant("subtract\(plane.width)<<\(plane.shift)", matrix, [parts, parts]), rows])
            let flat = op("Reshape", [values, integers([-1])])
            sum = sum.map { op("Add", [$0, flat]) } ?? flat
        }
        return op("Cast", [sum ?? ""], [Self.toInt32])
    }

    private static let toInt32 = Attribute("to", .integer(Int(ElementType.int32.rawValue)))

    /// Elements of given bit patterns.
    private func tensor(_ patterns: [UInt64], _ type: ElementType) throws(ModelGraphError) -> Tensor {
        let width = (type.bitWidth ?? 8) / 8
        let bytes = patterns.flatMap { pattern in (0..<width).map { UInt8(truncatingIfNeeded: pattern >> UInt64(8 * $0)) } }
        return try Tensor(name: "", elementType: type, dims: [patterns.count], storage: TensorStorage(copying: bytes))
    }

    private mutating func split(_ value: String, _ counts: [Int]) -> [String] {
        let outputs = counts.map { _ in fresh() }
        var node = Node("Split", inputs: [value], outputs: outputs, attributes: [Attribute("axis", .int(0))])
        if opset >= 13 { node.inputs.append(integers(counts)) } else { node.set("split", .integers(counts)) }
        nodes.append(node)
        return outputs
    }

    private mutating func reshape(_ value: String, _ dims: [Int], into name: String) {
        nodes.append(.op("Reshape", [value, integers(dims)], name))
    }

    private mutating func op(_ type: String, _ inputs: [String], _ attributes: [Attribute] = []) -> String {
        let output = fresh()
        nodes.append(.op(type, inputs, output, attributes))
        return output
    }

    private mutating func fresh() -> String { names.fresh("_s\(nodes.count + tensors.count)") }

    private mutating func add(_ tensor: Tensor) -> String {
        let name = fresh()
        tensors.append(tensor.renamed(name))
        return name
    }

    private mutating func scalar(_ value: Int32) -> String {
        if let known = constants["axis\(value)"] { return known }
        let name = add(Tensor(name: "", int32s: [value], dims: []))
        constants["axis\(value)"] = name
        return name
    }

    private mutating func integers(_ values: [Int]) -> String {
        let key = values.map(String.init).joined(separator: ",")
        if let known = constants[key] { return known }
        let name = add(Tensor(name: "", int64s: values.map(Int64.init), dims: [values.count]))
        constants[key] = name
        return name
    }

    private mutating func constant(_ key: String, _ values: [Float], _ dims: [Int]) -> String {
        if let known = constants[key] { return known }
        let name = add(Tensor(name: "", floats: values, dims: dims))
        constants[key] = name
        return name
    }
}
