import LinearAlgebra
import ModelGraph

/// A way to read a weight tensor as a matrix, whose rank is what a factorization cuts.
public enum WeightUnfolding: Hashable, Sendable {
    /// The first dimension by all others: outputs × inputs·kernel of a convolution, the stored matrix of a dense layer or embedding.
    case first
    /// The second dimension by all others: inputs × outputs·kernel of a convolution.
    case second
    /// inputs·height × outputs·width of a convolution's kernel.
    case spatial
    /// A dense layer's weight as the tensor of a train of so many cores (`TrainOfProducts`), cut behind the core of number `bond`.
    case train(cores: Int, bond: Int)

    /// Rows and columns of a layer's weight; `nil` where it has no such unfolding or no single one (groups).
    public func shape(of layer: Layer) -> (rows: Int, columns: Int)? {
        let dims = layer.weightShape
        switch self {
        case .first: return SingularValues.matrixShape(of: layer)
        case .second:
            guard SingularValues.matrixShape(of: layer) != nil, dims.count >= 3 else { return nil }
            return (dims[1], layer.weightCount / dims[1])
        case .spatial:
            guard layer.kind == .conv, layer.group == 1, dims.count == 4, dims.allSatisfy({ $0 > 0 }) else { return nil }
            return (dims[1] * dims[2], dims[0] * dims[3])
        case .train(let cores, let bond):
            guard [.gemm, .matMul].contains(layer.kind), dims.count == 2, layer.weightCount > 0 else { return nil }
            let train = TrainOfProducts.Shape(outputs: dims[layer.outputAxis], inputs: dims[layer.inputAxis], cores: cores).dims
            let rows = train[...bond].reduce(1, *)
            return (rows, layer.weightCount / rows)
        }
    }

    /// The matrix, row-major, of a layer's weights.
    func matrix(_ weights: UnsafeBufferPointer<Float>, of layer: Layer) -> [Float] {
        guard case .train(let cores, _) = self else { return matrix(weights, dims: layer.weightShape) }
        let shape = TrainOfProducts.Shape(outputs: layer.weightShape[layer.outputAxis], inputs: layer.weightShape[layer.inputAxis], cores: cores)
        return shape.tensor(weights, outputsFirst: layer.outputAxis == 0)
    }

    /// The matrix, row-major, of a weight of the given dimensions; a train's tensor takes a layer.
    func matrix(_ weights: UnsafeBufferPointer<Float>, dims: [Int]) -> [Float] {
        switch self {
        case .first, .train: return Array(weights)
        case .second: return Self.permuted(weights, dims: [dims[0], dims[1], dims[2...].reduce(1, *)], to: [1, 0, 2])
        case .spatial: return Self.permuted(weights, dims: dims, to: [1, 2, 0, 3])
        }
    }

    /// A tensor with its axes in another order: axis i of the result is axis `order[i]`.
    static func permuted(_ values: UnsafeBufferPointer<Float>, dims: [Int], to order: [Int]) -> [Float] {
        let strides = dims.indices.map { dims[($0 + 1)...].reduce(1, *) }
        let (extents, steps) = (order.map { dims[$0] }, order.map { strides[$0] })
        var place = [Int](repeating: 0, count: dims.count)
        var offset = 0
        return [Float](unsafeUninitializedCapacity: values.count) { out, initialized in
            for index in 0..<values.count {
                out.initializeElement(at: index, to: values[offset])
                var axis = dims.count - 1
                while axis >= 0 {
                    place[axis] += 1
                    offset += steps[axis]
                    if place[axis] < extents[axis] { break }
                    offset -= steps[axis] * extents[axis]
                    place[axis] = 0
                    axis -= 1
                }
            }
            initialized = values.count
        }
    }
}

/// Singular values of one unfolding of a weight, prepared once.
public struct Spectrum: Sendable {
    /// Largest first.
    public var values: [Float]
    /// The rank that variational Bayes finds in them.
    public var bayesianRank: Int

    public init(_ values: [Float], rows: Int, columns: Int) {
        self.values = values
        bayesianRank = VariationalBayes.rank(rows: rows, columns: columns, singularValues: values)
    }
}
