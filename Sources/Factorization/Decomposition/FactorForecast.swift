import ModelGraph
import Techniques

/// Predicts what factors do to a layer.
package enum FactorForecast {
    /// Dimensions of a layer's weight at a point of a recipe, channels removed by steps before it left out.
    package struct Extents {
        package var outputs: Double
        package var inputs: Double
        /// Elements of the kernel; 1 for dense layers.
        package var kernel: Double
        /// Positions of the output and of the input at batch 1; `nil` while shapes are unknown.
        package var outputPositions: Double?
        package var inputPositions: Double?

        package init(_ summary: LayerSummary, _ state: LayerState) {
            let layer = summary.layer
            let dims = layer.weightShape
            let (m, n) = (Double(dims[layer.outputAxis]), Double(dims[layer.inputAxis]))
            outputs = max((m * state.outputsKept).rounded(), 1)
            inputs = max((n * state.inputsKept).rounded(), 1)
            kernel = Double(layer.weightCount) / (m * n)
            let groups = Double(layer.group)
            outputPositions = summary.outputElements.map { $0 / (layer.kind == .convTranspose ? m * groups : m) }
            inputPositions = summary.inputElements.map { $0 / (layer.kind == .convTranspose ? n : n * groups) }
        }

        /// The first and the second dimension of the stored weight.
        func stored(_ layer: Layer) -> (first: Double, second: Double) { layer.outputAxis == 0 ? (outputs, inputs) : (inputs, outputs) }

        /// Positions between the input's and the output's: height of the one, width of the other.
        var middlePositions: Double? {
            guard let inputPositions, let outputPositions else { return outputPositions }
            return (inputPositions * outputPositions).squareRoot()
        }
    }

    /// - Parameters:
    ///   - weights: elements of all factors together.
    ///   - macs: of all factors; `nil` leaves the MACs unknown.
    ///   - nodes: nodes in the layer's place.
    ///   - links: those of them that multiply by weights, where they are known.
    ///   - moved: elements that are copied between them.
    package static func apply(weights: Double, macs: Double?, nodes: Int, links: [LayerLink] = [], moved: Double = 0, to state: inout LayerState, _ summary: LayerSummary) {
        state.weightCount = weights
        state.density = 1
        state.distinctValues = nil
        state.valueEntropy = nil
        // Further nodes, their names and those of their values.
        state.overheadBits += Double(nodes - 1) * Double(3 * summary.layer.id.utf8.count + 120) * 8
        state.macs = macs
        state.links = links
        state.nodes = nodes
        state.movedElements = moved
    }
}
