import Techniques

/// Pages of `Docs/Techniques/`, made from the registry.
enum TechniquePages {
    /// File name and text of every page; `README.md` is the index.
    static func all(_ descriptors: [TechniqueDescriptor], figures: TechniqueFigures?, runtimes: RuntimeResults?) -> [(name: String, text: String)] {
        [("README.md", index(descriptors))] + descriptors.map { ("\($0.id).md", page($0, [figures?.section($0.id), runtimes?.section($0.id)].compactMap { $0 })) }
    }

    private static let note = "<!-- Made by `lathe techniques --write-docs`; edit the technique's descriptor instead. -->\n"

    private static func index(_ descriptors: [TechniqueDescriptor]) -> String {
        var text = "\(note)# Techniques\n\nEach rewrites the graph; every number shown is of the graph that is exported.\n"
        for family in TechniqueDescriptor.Family.allCases {
            let members = descriptors.filter { $0.family == family }
            guard !members.isEmpty else { continue }
            text += "\n## \(family.title)\n\n| technique | does | parameters |\n|---|---|---|\n"
            for member in members {
                let parameters = member.parameters.map { "`\($0.name)`" }.joined(separator: ", ")
                text += "| [`\(member.id)`](\(member.id).md) | \(cell(member.summary)) | \(parameters.isEmpty ? "none" : parameters) |\n"
            }
        }
        return text
    }

    private static func page(_ descriptor: TechniqueDescriptor, _ measured: [String]) -> String {
        var text = "\(note)# \(descriptor.title)\n\n`\(descriptor.id)` · \(descriptor.family.title)\n\n\(descriptor.summary)\n\n"
        text += wrapped(descriptor.details) + "\n\n"
        if !descriptor.parameters.isEmpty {
            text += "## Parameters\n\n| parameter | expected | default | meaning |\n|---|---|---|---|\n"
            for parameter in descriptor.parameters {
                let unit = parameter.unit.isEmpty ? "" : " \(parameter.unit)"
                text += "| `\(parameter.name)` | \(cell(parameter.expectation)) | \(parameter.defaultValue.text)\(unit) | \(cell(parameter.help)) |\n"
            }
            for parameter in descriptor.parameters {
                guard case .choice(let choices) = parameter.domain else { continue }
                text += "\n`\(parameter.name)`:\n\n" + choices.map { "- `\($0.name)`: \($0.help)\n" }.joined()
            }
            text += "\n"
        }
        text += "## Use\n\n```yaml\nsteps:\n  - technique: \(descriptor.id)\n"
        if !descriptor.parameters.isEmpty {
            text += "    parameters:\n" + descriptor.parameters.map { "      \($0.name): \($0.defaultValue.text)\n" }.joined()
        }
        text += "```\n\n```\n\(command(descriptor))\n```\n\n"
        text += "Needs calibration data: \(calibration(descriptor)).\n"
        if let order = order(descriptor) { text += "\n\(order)\n" }
        for section in measured { text += "\n\(section)" }
        text += "\nSource: \(descriptor.source)\n"
        return text
    }

    private static func command(_ descriptor: TechniqueDescriptor) -> String {
        let first = descriptor.parameters.first.map { ":\($0.name)=\($0.defaultValue.text)" } ?? ""
        let data = descriptor.calibrationNeed(ParameterValues()) == nil ? "" : " --data data.yaml"
        return "lathe apply model.onnx --step '\(descriptor.id)\(first)' --output smaller.onnx\(data)"
    }

    private static func calibration(_ descriptor: TechniqueDescriptor) -> String {
        if descriptor.needsCalibration { return "yes (`--data`)" }
        let choices = descriptor.calibratedChoices
        return choices.isEmpty ? "no" : "for \(choices.map { "`\($0)`" }.joined(separator: ", ")) (`--data`)"
    }

    /// What the traits mean for the order of steps.
    private static func order(_ descriptor: TechniqueDescriptor) -> String? {
        var lines: [String] = []
        if descriptor.requires.contains(.floatWeights) {
            lines.append("Works on floating-point weights: put it before any step that lowers their precision.")
        }
        if descriptor.produces.contains(.factorized) { lines.append("Put it before pruning and weight sharing, whose zeros and shared values it would undo.") }
        if descriptor.produces.contains(.refittedWeights) { lines.append("Put it before weight sharing, whose shared values it would undo.") }
        if descriptor.produces.contains(.correction) { lines.append("Corrects what other steps did: put it after them.") }
        if descriptor.produces.contains(.storage) { lines.append("Stores the final weights: put it behind all that changes them, and before what codes the archive.") }
        if descriptor.produces.contains(.coding) { lines.append("Codes the final weights: put it last.") }
        return lines.isEmpty ? nil : lines.joined(separator: " ")
    }

    private static func cell(_ text: String) -> String { text.onOneLine.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|") }

    /// Paragraphs kept, lines broken at 118 characters.
    static func wrapped(_ text: String, width: Int = 118) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { paragraph in
            var lines: [String] = []
            var line = ""
            for word in paragraph.split(separator: " ") {
                if !line.isEmpty, line.count + 1 + word.count > width {
                    lines.append(line)
                    line = ""
                }
                line += (line.isEmpty ? "" : " ") + word
            }
            return (lines + [line]).joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
