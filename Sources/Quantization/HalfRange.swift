import EngineSupport
import ModelGraph
import Techniques

/// Which values of a model no half holds.
///
/// Source: onnxconverter-common's automatic mixed precision keeps such operators in float32 by comparing outputs; here ranges decide, as for int8.
enum HalfRange {
    /// Half of the largest half: other samples go further than those that were seen.
    private static let limit: Float = 65504 / 2
    private static let samples = 16

    /// Nodes of the main graph that give or take values beyond what a half holds, on calibration samples: they are to stay in float32.
    /// - Returns: none without calibration data.
    static func overflowing(_ model: Model, context: RewriteContext) throws -> Set<Int> {
        guard context.calibration != nil else { return [] }
        let graph = model.graph
        let types = ElementTypeInference(graph)
        let constants = graph.constantNames()
        let names = Set(graph.nodes.flatMap(\.outputs).filter { !$0.isEmpty && !constants.contains($0) && types.isFloat32($0) })
        guard !names.isEmpty else { return [] }
        let statistics: [String: TensorStatistics]
        do {
            statistics = try ActivationCalibration.statistics(
                of: model, names: Dictionary(uniqueKeysWithValues: names.map { ($0, false) }), limit: samples, context: context)
        } catch let error as EngineError where error.kind != .cancelled {
            context.notes.add("ranges of values were not looked at: \(error.reason)")
            return []
        }
        let index = GraphIndex(graph)
        let beyond = Set(
            statistics.filter { name, range in
                range.maximum > limit || range.minimum < -limit && !isMask(name, graph, index, depth: 12)
            }.keys)
        guard !beyond.isEmpty else { return [] }
        let nodes = Set(graph.nodes.indices.filter { !beyond.isDisjoint(with: graph.nodes[$0].inputs + graph.nodes[$0].outputs) })
        context.notes.add(
            "\(beyond.count) values go beyond what float16 holds on calibration samples; the \(nodes.count) operators that give or take them stay float32")
        return nodes
    }

    /// Whether a value only decides what a Softmax leaves out, however low it is: the least half does the same.
    private static func isMask(_ name: String, _ graph: Graph, _ index: GraphIndex, depth: Int) -> Bool {
        guard depth > 0, !index.outputs.contains(name), let readers = index.consumers[name], !readers.isEmpty else { return false }
        return readers.allSatisfy { reader in
            let node = graph.nodes[reader]
            switch node.opType {
            case "Softmax": return true
            case "Add", "Sub", "Where", "Mul", "Cast", "Expand", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Identity", "Slice", "Concat", "Max", "Clip", "Tile", "Shape":
                return node.opType == "Shape" || node.outputs.allSatisfy { isMask($0, graph, index, depth: depth - 1) }
            default: return false
            }
        }
    }
}
