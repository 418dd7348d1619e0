import Techniques

/// What `lathe techniques --json` prints: the registry.
struct TechniqueDocument: JSONDocument {
    struct Entry: Encodable {
        var id: String
        var title: String
        var family: String
        var summary: String
        var details: String
        var source: String
        var needsCalibration: Bool
        var requires: [String]
        var produces: [String]
        var parameters: [Parameter]
    }

    struct Parameter: Encodable {
        /// `real`, `integer`, `choice` or `flag`.
        var type: String
        var name: String
        var title: String
        var help: String
        var unit: String
        var expected: String
        var `default`: Scalar
        var minimum: Double?
        var maximum: Double?
        var step: Double?
        var choices: [Choice]?
    }

    struct Choice: Encodable {
        var name: String
        var help: String
    }

    /// A parameter value as the JSON value of its type.
    struct Scalar: Encodable {
        var value: ParameterValue

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch value {
            case .real(let number): try container.encode(number)
            case .integer(let number): try container.encode(number)
            case .choice(let word): try container.encode(word)
            case .flag(let on): try container.encode(on)
            }
        }
    }

    let schema = "lathe.techniques/1"
    var techniques: [Entry]

    init(_ descriptors: [TechniqueDescriptor]) { techniques = descriptors.map(Self.entry) }

    private static func entry(_ descriptor: TechniqueDescriptor) -> Entry {
        Entry(
            id: descriptor.id, title: descriptor.title, family: descriptor.family.rawValue, summary: descriptor.summary,
            details: descriptor.details, source: descriptor.source, needsCalibration: descriptor.needsCalibration,
            requires: descriptor.requires.map(\.rawValue).sorted(), produces: descriptor.produces.map(\.rawValue).sorted(),
            parameters: descriptor.parameters.map(parameter))
    }

    private static func parameter(_ parameter: ParameterDescriptor) -> Parameter {
        var result = Parameter(
            type: "", name: parameter.name, title: parameter.title, help: parameter.help, unit: parameter.unit,
            expected: parameter.expectation, default: Scalar(value: parameter.defaultValue))
        switch parameter.domain {
        case .real(let range, let step):
            result.type = "real"
            (result.minimum, result.maximum, result.step) = (range.lowerBound, range.upperBound, step)
        case .integer(let range, let step):
            result.type = "integer"
            (result.minimum, result.maximum, result.step) = (Double(range.lowerBound), Double(range.upperBound), Double(step))
        case .choice(let choices):
            result.type = "choice"
            result.choices = choices.map { Choice(name: $0.name, help: $0.help) }
        case .flag:
            result.type = "flag"
        }
        return result
    }
}
