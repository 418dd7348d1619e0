/// Keras and JAX write dense layers as Einsum. Where one operand is a constant matrix, in whatever number of axes, it is a matrix
/// product like any other: written as one, its weight is seen by whatever looks for weights.

extension Graph {
    /// Replaces each Einsum of a value with a floating-point initializer by MatMul, with Transpose and Reshape around it where the equation
    /// calls for them, here and in subgraphs. What the nodes before the weight do is left to `foldWeightLayouts`.
    mutating func unfoldEinsums() {
        guard holdsEinsum else { return }
        var names = NameSupply(self)
        unfoldEinsums(&names)
    }

    private var holdsEinsum: Bool { nodes.contains { $0.isStandard("Einsum") || $0.subgraphs.contains { $0.graph.holdsEinsum } } }

    private mutating func unfoldEinsums(_ names: inout NameSupply) {
        let listed = Set(inputs.map(\.name))
        var result: [Node] = []
        result.reserveCapacity(nodes.count)
        for var node in nodes {
            for position in node.attributes.indices {
                if case .graph(var body) = node.attributes[position].value {
                    body.unfoldEinsums(&names)
                    node.attributes[position].value = .graph(body)
                }
            }
            guard node.isStandard("Einsum"), node.inputs.count == 2, node.outputs.count == 1, let equation = node.string("equation"),
                let place = node.inputs.firstIndex(where: { initializers[$0] != nil && !listed.contains($0) }), initializers[node.inputs[1 - place]] == nil,
                let weight = initializers[node.inputs[place]], weight.elementType.isFloatingPoint, weight.count > 0,
                let product = EinsumProduct(equation, weightPlace: place, dims: weight.dims)
            else {
                result.append(node)
                continue
            }
            result += unfolded(node, product, value: node.inputs[1 - place], weight: node.inputs[place], &names)
        }
        nodes = result
    }

    private mutating func unfolded(_ node: Node, _ product: EinsumProduct, value: String, weight: String, _ names: inout NameSupply) -> [Node] {
        let base = node.name.isEmpty ? node.outputs[0] : node.name
        var made: [Node] = []
        func transposed(_ source: String, _ order: [Int]?, _ suffix: String) -> String {
            guard let order else { return source }
            let output = names.fresh("\(base)/\(suffix)_transposed")
            made.append(Node("Transpose", name: output, inputs: [source], outputs: [output], attributes: [Attribute("perm", .integers(order))]))
            return output
        }
        func reshaped(_ source: String, _ shape: [Int]?, _ suffix: String) -> String {
            guard let shape else { return source }
            let (output, extents) = (names.fresh("\(base)/\(suffix)_reshaped"), names.fresh("\(base)/\(suffix)_shape"))
            initializers[extents] = Tensor(name: extents, int64s: shape.map(Int64.init), dims: [shape.count])
            constantNodes[extents] = Node("Constant", inputs: [], outputs: [extents])
            made.append(Node("Reshape", name: output, inputs: [source, extents], outputs: [output]))
            return output
        }
        let operand = reshaped(transposed(value, product.valueOrder, "value"), product.valueShape, "value")
        let matrix = reshaped(transposed(weight, product.weightOrder, "weight"), product.weightShape, "weight")
        let last = node.outputs[0]
        let isPlain = product.outputShape == nil && product.outputOrder == nil
        let sum = isPlain ? last : names.fresh("\(base)/product")
        made.append(Node("MatMul", name: node.name, inputs: [operand, matrix], outputs: [sum]))
        if !isPlain {
            _ = transposed(reshaped(sum, product.outputShape, "output"), product.outputOrder, "output")
            // The last of them makes what the Einsum made.
            made[made.count - 1].outputs = [last]
        }
        return made
    }
}

/// An equation read as a product of rows of a value with a matrix.
private struct EinsumProduct {
    /// Axes in the order in which summed ones come last; `nil` if they are in it.
    var valueOrder: [Int]?
    /// Summed axes as one.
    var valueShape: [Int]?
    /// Summed axes first.
    var weightOrder: [Int]?
    /// Two axes.
    var weightShape: [Int]?
    var outputShape: [Int]?
    var outputOrder: [Int]?

    /// `nil` where the equation is more or less than such a product.
    init?(_ equation: String, weightPlace: Int, dims: [Int]) {
        let sides = equation.filter { $0 != " " }.split(separator: "->", omittingEmptySubsequences: false)
        guard sides.count == 2 else { return nil }
        let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard terms.count == 2 else { return nil }
        // Leading axes that are not named are rows like those that are.
        func letters(_ term: String) -> (rows: Bool, names: [Character])? {
            let leads = term.hasPrefix("...")
            let names = Array(leads ? term.dropFirst(3) : term[...])
            return names.allSatisfy(\.isLetter) && Set(names).count == names.count ? (leads, names) : nil
        }
        guard let value = letters(terms[1 - weightPlace]), let weight = letters(terms[weightPlace]), let output = letters(String(sides[1])), !weight.rows,
            value.rows == output.rows, weight.names.count == dims.count
        else { return nil }
        let summed = value.names.filter { weight.names.contains($0) && !output.names.contains($0) }
        let rows = value.names.filter { !weight.names.contains($0) }
        let columns = output.names.filter { weight.names.contains($0) }
        guard !summed.isEmpty, !columns.isEmpty, rows.allSatisfy(output.names.contains), columns.allSatisfy({ !value.names.contains($0) }),
            summed.count + columns.count == weight.names.count, rows.count + columns.count == output.names.count
        else { return nil }
        func order(_ from: [Character], _ to: [Character]) -> [Int]? { from == to ? nil : to.compactMap { from.firstIndex(of: $0) } }
        func extent(_ name: Character) -> Int { weight.names.firstIndex(of: name).map { dims[$0] } ?? 1 }
        let (inner, outer) = (summed.map(extent), columns.map(extent))
        let kept = [Int](repeating: 0, count: rows.count)
        valueOrder = order(value.names, rows + summed)
        valueShape = summed.count > 1 ? kept + [inner.reduce(1, *)] : nil
        weightOrder = order(weight.names, summed + columns)
        weightShape = dims.count > 2 ? [inner.reduce(1, *), outer.reduce(1, *)] : nil
        outputShape = columns.count > 1 ? kept + outer : nil
        outputOrder = order(rows + columns, output.names)
        // How many axes stand for the dots is not known.
        if value.rows, [valueOrder, valueShape, outputShape, outputOrder].contains(where: { $0 != nil }) { return nil }
    }
}
