import EngineSupport
import Foundation
import Metrics
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
    /// How widths and depth are searched, where the architecture alone is; `nil` for recipes of all kinds.
    public var architecture: ArchitectureStrategy?
    public var seed: UInt64 = 0
    /// Recipes tried one after the other without a better one, after which a search ends.
    public var patience = 60

    public init(_ goal: SearchGoal) { self.goal = goal }

    /// Reads a goal with, between its commas, `for 10m`, `only gptq fp16`, `with training`, `with architecture`, and the name of a form.
    /// - Throws: `EngineError` in one line that lists what there is.
    public init(_ text: String, metric: MetricKind) throws(EngineError) {
        var limits: [String] = []
        var budget: Double?
        var techniques: Set<String>?
        var (mayTrain, form) = (false, TargetForm.any)
        var architecture: ArchitectureStrategy?
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
            case "with" where words.dropFirst().joined().lowercased() == "architecture": architecture = .score
            case let word? where words.count == 1 && TargetForm(name: word) != nil: form = TargetForm(name: word) ?? .any
            default: limits.append(String(part))
            }
        }
        var goal = try SearchGoal(limits.joined(separator: ","), metric: metric)
        let saysBest = limits.contains { $0.trimmingCharacters(in: .whitespaces).lowercased().hasPrefix("minimize") }
        if architecture != nil, !saysBest { goal = goal.forArchitecture }
        self.init(goal)
        self.architecture = architecture
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
        ["drop <= ", "accuracy >= "] + SearchGoal.names(metric).map { "\($0) <= " } + ["minimize ", "for ", "only ", "with training", "with architecture"]
            + TargetForm.allCases.map(\.rawValue)
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
