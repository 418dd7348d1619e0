import Foundation

/// Evaluates what scatters the elements of sparse weights: positions in double precision, which holds every index exactly, and values by their bytes.
struct SparseChains {
    /// What a node of a chain makes.
    private enum Value {
        /// Positions, distances or codes, row-major.
        case numbers([Double], dims: [Int])
        /// Elements as they stand in the weight.
        case elements(Tensor)
    }

    private let graph: Graph
    private let index: GraphIndex
    private let listed: Set<String>
    private var known: [String: Value?] = [:]
    private var nodes: Set<Int> = []
    private var leaves: Set<String> = []

    init(_ graph: Graph) {
        self.graph = graph
        index = GraphIndex(graph)
        listed = Set(graph.inputs.map(\.name))
    }

    static func isScatter(_ node: Node) -> Bool { node.isStandard("ScatterElements") || node.isStandard("ScatterND") }

    /// Bytes of memory that so many bytes of a file may grow to.
    static func limit(_ stored: Int) -> Int { 1 << 26 + 2 * SparsePlan.greatestExpansion * min(stored, 1 << 40) }

    /// The weights in order, with the nodes that make them and the initializers these read.
    mutating func evaluate() -> (tensors: [Tensor], nodes: Set<Int>, leaves: Set<String>) {
        var tensors: [Tensor] = []
        for (number, node) in graph.nodes.enumerated() where Self.isScatter(node) {
            guard let name = node.outputs.first, case .elements? = value(name) else { continue }
            var results: [Tensor] = []
            guard follow(number, into: &results) else { continue }
            tensors += results
        }
        return (tensors, nodes, leaves)
    }

    /// Collects what becomes of a scatter's result before anything else reads it.
    private mutating func follow(_ number: Int, into results: inout [Tensor]) -> Bool {
        for output in graph.nodes[number].outputs where !output.isEmpty {
            guard case .elements(let tensor)? = value(output) else { return false }
            let readers = index.consumers[output] ?? []
            let onward = readers.filter { graph.nodes[$0].isStandard("Reshape") || graph.nodes[$0].isStandard("Split") }
            if onward.count == readers.count, !index.outputs.contains(output) {
                for reader in onward { guard follow(reader, into: &results) else { return false } }
            } else if !results.contains(where: { $0.name == output }) {
                results.append(tensor.renamed(output))
            }
        }
        return true
    }

    /// What a value is; `nil` if it is not made of initializers alone, by operators that chains consist of.
    private mutating func value(_ name: String, depth: Int = 0) -> Value? {
        if let known = known[name] { return known }
        guard depth < 64 else { return nil }
        known[name] = .some(nil)
        guard let number = index.producer[name] else {
            guard let tensor = graph.initializers[name], !listed.contains(name) else { return nil }
            leaves.insert(name)
            known[name] = .some(.elements(tensor))
            return .elements(tensor)
        }
        let node = graph.nodes[number]
        guard node.domain.isEmpty || node.domain == "ai.onnx", node.subgraphs.isEmpty else { return nil }
        let operands = node.inputs.map { $0.isEmpty ? nil : value($0, depth: depth + 1) }
        guard let results = results(of: node, operands), results.count == node.outputs.count else { return nil }
        nodes.insert(number)
        for (output, result) in zip(node.outputs, results) { known[output] = .some(result) }
        return known[name] ?? nil
    }

    private func results(of node: Node, _ operands: [Value?]) -> [Value]? {
        func numbers(_ place: Int) -> (values: [Double], dims: [Int])? {
            guard operands.indices.contains(place) else { return nil }
            switch operands[place] {
            case .numbers(let values, let dims)?: return (values, dims)
            case .elements(let tensor)?:
                guard tensor.elementType != .int64 || tensor.count < 1 << 31 else { return nil }
                if let integers = tensor.integers() { return (integers.map(Double.init), tensor.dims) }
                return tensor.floats().map { ($0.map(Double.init), tensor.dims) }
            case nil: return nil
            }
        }
        func integers(_ place: Int) -> [Int]? { numbers(place).flatMap { found in found.values.allSatisfy { abs($0) < 1e15 } ? found.values.map { Int($0) } : nil } }
        switch node.opType {
        case "Cast":
            // Of a constant of weights: bfloat16 from float32.
            if case .elements(let tensor)? = operands.first, node.int("to") == Int(ElementType.bfloat16.rawValue), tensor.elementType == .float32, let values = tensor.floats() {
                return [.elements(Tensor(name: "", bfloat16s: values, dims: tensor.dims))]
            }
            guard let (values, dims) = numbers(0), [1, 6, 7, 11].contains(node.int("to")) else { return nil }
            return [.numbers(values, dims: dims)]
        case "CumSum":
            guard let (values, dims) = numbers(0), let axis = integers(1)?.first, node.int("exclusive") ?? 0 == 0, node.int("reverse") ?? 0 == 0,
                dims.indices.contains(axis < 0 ? axis + dims.count : axis), values.count == dims[axis < 0 ? axis + dims.count : axis]
            else { return nil }
            var sum = 0.0
            return [
                .numbers(
                    values.map {
                        sum += $0
                        return sum
                    }, dims: dims)
            ]
        case "Floor": return numbers(0).map { [.numbers($0.values.map { $0.rounded(.down) }, dims: $0.dims)] }
        case "Mul", "Add", "Sub": return elementwise(node.opType, numbers(0), numbers(1)).map { [$0] }
        case "MatMul": return product(numbers(0), numbers(1)).map { [$0] }
        case "ConstantOfShape": return background(node, integers(0)).map { [$0] }
        case "Gather":
            guard case .elements(let codebook)? = operands.first, codebook.dims.count == 1, node.int("axis") ?? 0 == 0, let (codes, dims) = numbers(1) else { return nil }
            return gathered(codebook, codes, dims).map { [$0] }
        case "Concat":
            let parts = operands.compactMap { operand -> Tensor? in if case .elements(let tensor)? = operand { tensor } else { nil } }
            guard parts.count == operands.count, let type = parts.first?.elementType, (type.bitWidth ?? 0) >= 8,
                parts.allSatisfy({ $0.elementType == type && $0.dims.count == 1 })
            else { return nil }
            let bytes = parts.flatMap { [UInt8]($0.storage.bytes) }
            return (try? Tensor(name: "", elementType: type, dims: [parts.reduce(0) { $0 + $1.count }], storage: TensorStorage(copying: bytes))).map { [.elements($0)] }
        case "Reshape", "Unsqueeze":
            return reshaped(node, operands.first ?? nil, integers(1)).map { [$0] }
        case "Split": return split(node, operands.first ?? nil, integers(1))
        case "ScatterElements", "ScatterND":
            guard case .elements(let data)? = operands.first, operands.count == 3, case .elements(let updates)? = operands[2], node.attribute("reduction") == nil,
                node.int("axis") ?? 0 == 0, let (places, dims) = numbers(1)
            else { return nil }
            // Only into a constant: all else is arithmetic on weights.
            guard let maker = index.producer[node.inputs[0]], graph.nodes[maker].isStandard("ConstantOfShape") || graph.nodes[maker].isStandard("Cast") else { return nil }
            return scattered(updates, places, dims, over: data, byCoordinates: node.opType == "ScatterND").map { [$0] }
        default: return nil
        }
    }

    private func elementwise(_ type: String, _ a: (values: [Double], dims: [Int])?, _ b: (values: [Double], dims: [Int])?) -> Value? {
        guard let a, let b else { return nil }
        func apply(_ x: Double, _ y: Double) -> Double { type == "Mul" ? x * y : type == "Add" ? x + y : x - y }
        if a.dims == b.dims { return .numbers(zip(a.values, b.values).map(apply), dims: a.dims) }
        if b.values.count == 1, b.dims.count <= a.dims.count { return .numbers(a.values.map { apply($0, b.values[0]) }, dims: a.dims) }
        // A row and a column.
        guard a.dims.count == 2, b.dims.count == 2, a.dims[0] == 1, b.dims[1] == 1, b.dims[0] <= 64 else { return nil }
        return .numbers(b.values.flatMap { y in a.values.map { apply($0, y) } }, dims: [b.dims[0], a.dims[1]])
    }

    private func product(_ a: (values: [Double], dims: [Int])?, _ b: (values: [Double], dims: [Int])?) -> Value? {
        guard let a, let b, a.dims.count == 2, b.dims.count == 2, a.dims[1] == b.dims[0], a.dims[0] <= 64, a.dims[1] <= 64 else { return nil }
        let columns = b.dims[1]
        var out = [Double](repeating: 0, count: a.dims[0] * columns)
        for row in 0..<a.dims[0] {
            for inner in 0..<a.dims[1] where a.values[row * a.dims[1] + inner] != 0 {
                let factor = a.values[row * a.dims[1] + inner]
                for column in 0..<columns { out[row * columns + column] += factor * b.values[inner * columns + column] }
            }
        }
        return .numbers(out, dims: [a.dims[0], columns])
    }

    private func background(_ node: Node, _ dims: [Int]?) -> Value? {
        let fill = node.tensor("value")
        let type = fill?.elementType ?? .float32
        guard let dims, let total = Tensor.elementCount(dims), let width = type.bitWidth.map({ $0 / 8 }), width >= 1, fill == nil || fill?.count == 1,
            total <= Self.limit(graph.initializers.values.reduce(0) { $0 + $1.storage.byteCount }) / width
        else { return nil }
        let pattern = fill.map { [UInt8]($0.storage.bytes) } ?? []
        let storage = TensorStorage(byteCount: total * width) { memory in
            guard pattern.contains(where: { $0 != 0 }) else { return }
            for index in 0..<(total * width) { memory[index] = pattern[index % width] }
        }
        return (try? Tensor(name: "", elementType: type, dims: dims, storage: storage)).map { .elements($0) }
    }

    private func gathered(_ codebook: Tensor, _ codes: [Double], _ dims: [Int]) -> Value? {
        guard let width = codebook.elementType.bitWidth.map({ $0 / 8 }), width >= 1, codes.allSatisfy({ $0 >= 0 && $0 < Double(codebook.count) }) else { return nil }
        let source = codebook.storage.bytes
        let storage = TensorStorage(byteCount: codes.count * width) { memory in
            for (place, code) in codes.enumerated() { for byte in 0..<width { memory[place * width + byte] = source[Int(code) * width + byte] } }
        }
        return (try? Tensor(name: "", elementType: codebook.elementType, dims: dims, storage: storage)).map { .elements($0) }
    }

    private func reshaped(_ node: Node, _ operand: Value?, _ shape: [Int]?) -> Value? {
        let (own, count): ([Int], Int)
        switch operand {
        case .numbers(let values, let dims)?: (own, count) = (dims, values.count)
        case .elements(let tensor)?: (own, count) = (tensor.dims, tensor.count)
        case nil: return nil
        }
        var dims: [Int]
        if node.opType == "Unsqueeze" {
            // Only what makes columns of one coordinate.
            guard own.count == 1, let axes = shape ?? node.ints("axes"), axes == [1] || axes == [-1] else { return nil }
            dims = [count, 1]
        } else {
            guard let shape, shape.filter({ $0 == -1 }).count <= 1, shape.allSatisfy({ $0 == -1 || $0 > 0 }), let given = Tensor.elementCount(shape.filter { $0 != -1 }),
                count % given == 0
            else { return nil }
            dims = shape.map { $0 == -1 ? count / given : $0 }
            guard Tensor.elementCount(dims) == count else { return nil }
        }
        switch operand {
        case .numbers(let values, _)?: return .numbers(values, dims: dims)
        case .elements(let tensor)?: return (try? tensor.reshaped(dims)).map { .elements($0) }
        case nil: return nil
        }
    }

    private func split(_ node: Node, _ operand: Value?, _ sizes: [Int]?) -> [Value]? {
        guard let sizes = sizes ?? node.ints("split"), node.int("axis") ?? 0 == 0, sizes.allSatisfy({ $0 >= 0 && $0 < 1 << 40 }) else { return nil }
        var start = 0
        var parts: [Value] = []
        for size in sizes {
            switch operand {
            case .numbers(let values, let dims)?:
                guard dims.count == 1, start + size <= values.count else { return nil }
                parts.append(.numbers(Array(values[start..<(start + size)]), dims: [size]))
            case .elements(let tensor)?:
                guard tensor.dims.count == 1, let width = tensor.elementType.bitWidth.map({ $0 / 8 }), width >= 1, start + size <= tensor.count else { return nil }
                let range = UnsafeRawBufferPointer(rebasing: tensor.storage.bytes[(start * width)..<((start + size) * width)])
                let storage = TensorStorage(byteCount: size * width) { $0.copyMemory(from: range) }
                guard let part = try? Tensor(name: "", elementType: tensor.elementType, dims: [size], storage: storage) else { return nil }
                parts.append(.elements(part))
            case nil: return nil
            }
            start += size
        }
        return parts
    }

    /// Positions along the only dimension, or coordinates in all dimensions.
    private func scattered(_ updates: Tensor, _ places: [Double], _ dims: [Int], over data: Tensor, byCoordinates: Bool) -> Value? {
        guard updates.elementType == data.elementType, let width = data.elementType.bitWidth.map({ $0 / 8 }), width >= 1 else { return nil }
        let rank = byCoordinates ? dims.last ?? 0 : 1
        guard rank == data.dims.count, rank > 0, updates.count * rank == places.count, byCoordinates || dims.count == 1 else { return nil }
        var positions: [Int] = []
        positions.reserveCapacity(updates.count)
        for entry in 0..<updates.count {
            var position = 0
            for axis in 0..<rank {
                let place = places[entry * rank + axis]
                let extent = Double(data.dims[axis])
                guard place >= -extent, place < extent, place == place.rounded() else { return nil }
                position = position * data.dims[axis] + Int(place < 0 ? place + extent : place)
            }
            positions.append(position)
        }
        let (source, target) = (updates.storage.bytes, data.storage.bytes)
        let storage = TensorStorage(byteCount: target.count) { memory in
            memory.copyMemory(from: target)
            for (entry, position) in positions.enumerated() { for byte in 0..<width { memory[position * width + byte] = source[entry * width + byte] } }
        }
        return (try? data.replacing(elementType: data.elementType, dims: data.dims, storage: storage)).map { .elements($0) }
    }
}
