import EngineSupport
import Foundation
import Metrics
import ModelGraph
import Techniques

/// A goal, and what may be spent and used to reach it.
public struct SearchRequest: Sendable, Hashable {
    public var goal: SearchGoal
    /// Seconds at most.
    public var budget = 600.0
    /// Techniques that may be used; `nil` for all.
    public var techniques: Set<String>?
    /// Whether techniques that train may be used.
    public var mayTrain = false
    public var form = TargetForm.any
    public var seed: UInt64 = 0
    /// Recipes tried one after the other without a better one, after which a search ends.
    public var patience = 60

    public init(_ goal: SearchGoal) { self.goal = goal }

    /// Reads a goal with, between its commas, `for 10m`, `only gptq fp16`, `with training`, and the name of a form.
    /// - Throws: `EngineError` in one line that lists what there is.
    public init(_ text: String, metric: MetricKind) throws(EngineError) {
        var limits: [String] = []
        var budget: Double?
        var techniques: Set<String>?
        var (mayTrain, form) = (false, TargetForm.any)
        for part in text.split(whereSeparator: { $0 == "," || $0 == ";" }) {
            let words = part.split(separator: " ").map(String.init)
            switch words.first?.lowercased() {
            case "for":
                let typed = words.dropFirst().joined()
                guard let seconds = TypedTime.seconds(typed) else { throw EngineError(.data, "goal '\(text)': expected a time such as 'for 10m', found '\(typed)'") }
                budget = seconds
            case "only":
                techniques = Set(words.dropFirst())
                try Self.check(techniques ?? [])
            case "with" where words.dropFirst().joined().lowercased() == "training": mayTrain = true
            case let word? where words.count == 1 && TargetForm(rawValue: word) != nil: form = TargetForm(rawValue: word) ?? .any
            default: limits.append(String(part))
            }
        }
        self.init(try SearchGoal(limits.joined(separator: ","), metric: metric))
        if let budget { self.budget = budget }
        (self.techniques, self.mayTrain, self.form) = (techniques, mayTrain, form)
    }

    /// - Throws: `EngineError` that names the first that does not exist.
    public static func check(_ techniques: Set<String>) throws(EngineError) {
        for id in techniques.sorted() where TechniqueRegistry.technique(id) == nil {
            throw EngineError(.recipe, "there is no technique '\(id)', expected some of \(TechniqueRegistry.all.map(\.descriptor.id).sorted().joined(separator: ", "))")
        }
        if techniques.isEmpty { throw EngineError(.recipe, "no technique is named") }
    }

    /// What can be typed between the commas, for completion.
    public static func words(_ metric: MetricKind) -> [String] {
        ["drop <= ", "accuracy >= "] + SearchGoal.names(metric).map { "\($0) <= " } + ["minimize ", "for ", "only ", "with training"] + TargetForm.allCases.map(\.rawValue)
    }
}

/// What the found model may be made of.
public enum TargetForm: String, Sendable, Hashable, CaseIterable {
    /// Whatever ONNX Runtime runs.
    case any
    /// Operators of the ONNX standard only, which other runtimes read too.
    case portable
    /// Standard operators, and every layer with weights computes in integers: its inputs are quantized.
    case integers

    public var help: String {
        switch self {
        case .any: "whatever ONNX Runtime runs"
        case .portable: "operators of the ONNX standard only"
        case .integers: "standard operators, and every layer with weights computes in integers"
        }
    }

    /// Whether a model has the form.
    func holds(_ model: Model) -> Bool {
        guard self != .any else { return true }
        guard Self.isStandard(model.graph) else { return false }
        guard self == .integers else { return true }
        let producer = GraphIndex(model.graph).producer
        func isQuantized(_ value: String?) -> Bool {
            guard let value, let node = producer[value] else { return false }
            return model.graph.nodes[node].opType == "DequantizeLinear"
        }
        return model.graph.nodes.allSatisfy { node in
            switch node.opType {
            case "Conv", "ConvTranspose", "Gemm", "MatMul":
                // Products of two activations have no weights.
                let hasWeight = node.inputs.prefix(2).contains { model.graph.initializers[$0] != nil || isQuantized($0) }
                return !hasWeight || node.inputs.prefix(2).allSatisfy(isQuantized)
            case "LSTM", "GRU", "RNN": return false
            default: return true
            }
        }
    }

    private static func isStandard(_ graph: Graph) -> Bool {
        graph.nodes.allSatisfy { node in (node.domain.isEmpty || node.domain == "ai.onnx") && node.subgraphs.allSatisfy { isStandard($0.1) } }
    }
}

/// A span of time as it is typed: `90`, `90s`, `10m`, `2h`.
public enum TypedTime {
    public static func seconds(_ text: String) -> Double? {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
        let factor = text.last.flatMap { units[$0] }
        guard let value = Double(factor == nil ? text[...] : text.dropLast()), value.isFinite, value > 0, value < 1e7 else { return nil }
        return value * (factor ?? 1)
    }
}
