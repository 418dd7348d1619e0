import Foundation
import ModelGraph
import Techniques

/// Where the inputs of an output lie in a plane: positions of a kernel, or of an image that is flattened in front of a
/// matrix. The inputs of one channel stand together, row by row.
struct InputPositions: Hashable, ForecastFacet {
    var channels: Int
    var height: Int
    var width: Int

    var count: Int { height * width }

    /// Positions of a layer's inputs; `nil` if they have none, or one only.
    /// - Parameters:
    ///   - index: of the model's main graph.
    ///   - shapes: of intermediate values at batch 1.
    init?(of layer: Layer, in model: Model, index: GraphIndex, shapes: [String: [Int]]) {
        guard let shape = WeightMatrix.shape(of: layer) else { return nil }
        switch layer.kind {
        case .conv:
            let kernel = Array(layer.weightShape[2...])
            guard kernel.count <= 2 else { return nil }
            self.init(channels: layer.weightShape[1], height: kernel.count == 2 ? kernel[0] : 1, width: kernel[kernel.count - 1])
        default:
            guard layer.path.isMain, let image = Self.image(before: layer, columns: shape.columns, in: model.graph, index, shapes) else { return nil }
            self.init(channels: image[0], height: image[1], width: image[2])
        }
        guard count > 1 else { return nil }
    }

    private init(channels: Int, height: Int, width: Int) {
        self.channels = channels
        self.height = height
        self.width = width
    }

    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) {
        for (number, layer) in model.layers.enumerated() {
            summaries[number].facets[Self.self] = Self(of: layer, in: model.model, index: model.index, shapes: model.shapes)
        }
    }

    /// [channels, height, width] of the value that is flattened into a layer's inputs.
    private static func image(before layer: Layer, columns: Int, in graph: Graph, _ index: GraphIndex, _ shapes: [String: [Int]]) -> [Int]? {
        let node = graph.nodes[layer.nodeIndex]
        var value = node.inputs.first { $0 != layer.weight } ?? ""
        for _ in 0..<8 {
            let listed = graph.inputs.first { $0.name == value }?.fixedShape
            if let shape = shapes[value] ?? listed, shape.count == 4, shape[1] * shape[2] * shape[3] == columns { return Array(shape[1...]) }
            guard let producer = index.producer[value], ["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Relu"].contains(graph.nodes[producer].opType)
            else { return nil }
            value = graph.nodes[producer].input(0) ?? ""
        }
        return nil
    }

    /// Row and column of each position.
    var coordinates: [(row: Int, column: Int)] { (0..<count).map { ($0 / width, $0 % width) } }

    /// exp(−‖p − q‖² / 2σ²) between all positions, count × count.
    func kernel(width sigma: Double) -> [Double] {
        let places = coordinates
        return places.flatMap { p in
            places.map { q in
                let (rows, columns) = (Double(p.row - q.row), Double(p.column - q.column))
                return exp(-(rows * rows + columns * columns) / (2 * sigma * sigma))
            }
        }
    }
}

extension ValueInfo {
    /// The shape with unknown dimensions as 1; `nil` if there is no shape.
    fileprivate var fixedShape: [Int]? {
        shape?.map { if case .fixed(let extent) = $0 { extent } else { 1 } }
    }
}
