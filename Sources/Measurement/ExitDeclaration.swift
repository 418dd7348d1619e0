import Foundation
import ModelGraph

/// The early exits of a model, kept in its metadata under `lathe.exits`, so that a file read again is understood: what each `If` is for,
/// and how many samples are expected to leave there.
public struct ExitDeclaration: Codable, Hashable, Sendable {
    public static let metadataKey = "lathe.exits"

    public struct Exit: Codable, Hashable, Sendable {
        /// Name of the If node; its `else_branch` holds the rest of the network, the next exit's If among it.
        public var node: String
        /// The value behind which the network is cut, and what the rest reads in its place: the rows of those who stay.
        public var cut: String
        public var gathered: String
        /// The rest's answer for those rows.
        public var rest: String
        /// The exit's answer in the form of the model's output, rows × classes.
        public var answer: String
        /// Largest probability, by row; those above the initializer `threshold` leave.
        public var confidence: String
        public var threshold: String
        /// Share of all calibration samples that leave here.
        public var share: Double

        package init(node: String, cut: String, gathered: String, rest: String, answer: String, confidence: String, threshold: String, share: Double) {
            self.node = node
            self.cut = cut
            self.gathered = gathered
            self.rest = rest
            self.answer = answer
            self.confidence = confidence
            self.threshold = threshold
            self.share = share
        }
    }

    /// In the order in which a sample meets them.
    public var exits: [Exit]

    public init(exits: [Exit]) { self.exits = exits }

    /// The exits of a model; `nil` if it has none or they are not where the metadata say.
    public init?(_ model: Model) {
        guard let text = model.metadata[Self.metadataKey],
            let declaration = try? JSONDecoder().decode(ExitDeclaration.self, from: Data(text.utf8)), !declaration.exits.isEmpty
        else { return nil }
        var graph = model.graph
        for exit in declaration.exits {
            guard let node = graph.nodes.first(where: { $0.name == exit.node && $0.isStandard("If") }), node.outputs.count == 1,
                case .graph(let rest)? = node.attribute("else_branch"), let produced = Optional(Set(graph.nodes.flatMap(\.outputs))),
                produced.contains(exit.confidence), produced.contains(exit.answer), graph.initializers[exit.threshold] != nil,
                rest.nodes.contains(where: { $0.outputs.contains(exit.rest) })
            else { return nil }
            graph = rest
        }
        self = declaration
    }

    package func write(to model: inout Model) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        model.metadata[Self.metadataKey] = String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// The graphs that hold exit 0, 1, … and, last, the part behind the last exit.
    public func paths(in model: Model) -> [GraphPath] {
        var paths = [GraphPath.main]
        let all = model.graph.graphPaths()
        for exit in exits {
            guard let path = paths.last, let graph = model.graph[path], let index = graph.nodes.firstIndex(where: { $0.name == exit.node }),
                let attribute = graph.nodes[index].attributes.firstIndex(where: { $0.name == "else_branch" }),
                let inner = all.first(where: { inner in
                    guard inner.steps.count == path.steps.count + 1, let step = inner.steps.last else { return false }
                    return Array(inner.steps.dropLast()) == path.steps && step.node == index && step.attribute == attribute
                })
            else { return paths }
            paths.append(inner)
        }
        return paths
    }

    /// Shares of samples that run each graph of `paths(in:)`: 1 for the main graph, less behind each exit.
    /// - Parameter shares: of all samples, by exit.
    static func reach(_ shares: [Double]) -> [Double] {
        var left = 1.0
        return [1.0]
            + shares.map { share in
                left = max(left - share, 0)
                return left
            }
    }

    /// The model without branches: every sample runs through everything. Its outputs are the model's, then answer and confidence of each exit.
    public func unrolled(_ model: Model) -> Model {
        var result = model
        result.metadata[Self.metadataKey] = nil
        var replacements: [String: String] = [:]
        for exit in exits {
            guard let index = result.graph.nodes.firstIndex(where: { $0.name == exit.node }),
                case .graph(let rest)? = result.graph.nodes[index].attribute("else_branch")
            else { continue }
            let node = result.graph.nodes[index]
            for (name, tensor) in rest.initializers { result.graph.initializers[name] = tensor }
            var body = rest.nodes
            if exit.gathered != exit.cut {
                body.removeAll { $0.outputs.contains(exit.gathered) }
                replacements[exit.gathered] = exit.cut
            }
            body.append(Node("Identity", name: exit.node + "/all", inputs: [exit.rest], outputs: node.outputs))
            result.graph.nodes.replaceSubrange(index...index, with: body)
        }
        result.graph.replaceReads(replacements)
        for exit in exits {
            for name in [exit.answer, exit.confidence] { result.graph.outputs.append(ValueInfo(name: name, elementType: nil, shape: nil)) }
        }
        result.graph.removeDeadCode()
        return result
    }

    /// The same model with other thresholds, one for each exit: 2 lets nobody leave, −1 everybody.
    public func settingThresholds(_ values: [Float], in model: Model) -> Model {
        var result = model
        for (path, (exit, value)) in zip(paths(in: model), zip(exits, values)) {
            guard var graph = result.graph[path], let tensor = graph.initializers[exit.threshold] else { continue }
            graph.initializers[exit.threshold] = tensor.withFloats([value])
            result.graph[path] = graph
        }
        return result
    }

    /// The thresholds as they are.
    public func thresholds(in model: Model) -> [Double] {
        zip(paths(in: model), exits).compactMap { path, exit in model.graph[path]?.initializers[exit.threshold]?.floats()?.first.map(Double.init) }
    }
}
