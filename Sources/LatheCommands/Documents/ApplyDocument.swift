/// What `lathe apply --json` prints.
struct ApplyDocument: JSONDocument {
    enum Kind: String, Encodable {
        case model, archive, recipe
    }

    struct File: Encodable {
        var kind: Kind
        var path: String
        var bytes: Int
    }

    /// What of the model is not for where it is to run.
    struct Target: Encodable {
        var name: String
        var objections: [String]
    }

    let schema = "lathe.apply/1"
    var model: ModelReference
    var recipe: RecipeDocument
    var files: [File] = []
    /// What could be done better, in a line for the user.
    var advice: String?
    var target: Target?

    /// Adds a file that was written.
    mutating func add(_ kind: Kind, _ path: String, _ bytes: Int) { files.append(File(kind: kind, path: path, bytes: bytes)) }

    var text: String {
        var lines = ["\(model.name): \(EvaluateText.steps(recipe))"]
        for step in recipe.steps {
            if let why = step.skipped {
                lines.append("  \(step.technique): skipped: \(why.onOneLine)")
                continue
            }
            let count = step.layers?.count ?? 0
            lines.append("  \(step.technique): " + (count == 0 ? "nothing to do here" : "\(count) layer\(count == 1 ? "" : "s")"))
            for refusal in step.refusalsByReason { lines.append("    \(refusal.layers) left alone: \(refusal.reason)") }
            for note in step.notes ?? [] { lines.append("    \(note.onOneLine)") }
        }
        if let advice { lines.append(advice) }
        for file in files { lines.append("wrote \(file.path) (\(Written.exact(file.bytes)) bytes)") }
        return lines.joined(separator: "\n")
    }
}
