extension Graph {
    /// Takes values out of Loops that are only handed round: no node of the body reads them, and each pass gives them on as they
    /// came. Exporters carry weights so; once nothing in the body reads such a weight any more, carrying it would keep it in
    /// the file. Readers behind the Loop read what went into it.
    mutating func removeIdleLoopValues() {
        guard nodes.contains(where: { $0.isStandard("Loop") }) else { return }
        let index = GraphIndex(self)
        var replacements: [String: String] = [:]
        for position in nodes.indices where nodes[position].isStandard("Loop") {
            nodes[position].removeIdleLoopValues(outputs: index.outputs, replacements: &replacements)
        }
        replaceReads(replacements)
    }
}

extension Node {
    /// - Parameters:
    ///   - names: outputs of the graph that holds the Loop, which must stay.
    ///   - replacements: gets, for each output that goes, the input that it always equalled.
    fileprivate mutating func removeIdleLoopValues(outputs names: Set<String>, replacements: inout [String: String]) {
        guard let place = attributes.firstIndex(where: { $0.name == "body" }), case .graph(var body) = attributes[place].value,
            // Inputs: trip count, condition, carried values; body: iteration, condition, carried values → condition, carried, scanned.
            inputs.count > 2, body.inputs.count == inputs.count, body.outputs.count >= inputs.count - 1, outputs.count >= inputs.count - 2
        else { return }
        let index = GraphIndex(body)
        for carried in (2..<inputs.count).reversed() {
            let (name, handed) = (body.inputs[carried].name, body.outputs[carried - 1].name)
            let result = outputs[carried - 2]
            guard !names.contains(result), body.outputs.count(where: { $0.name == handed }) == 1 else { continue }
            if handed == name {
                guard index.useCount(name) == 1 else { continue }
            } else {
                guard let producer = index.producer[handed], body.nodes[producer].isStandard("Identity"), index.useCount(handed) == 1 else { continue }
                let source = body.nodes[producer].inputs
                // Reading a model makes readers of a weight, this one too, look past the Loop.
                guard (source == [name] && index.useCount(name) == 1) || (source == [inputs[carried]] && index.useCount(name) == 0) else { continue }
            }
            if !result.isEmpty { replacements[result] = replacements[inputs[carried]] ?? inputs[carried] }
            inputs.remove(at: carried)
            outputs.remove(at: carried - 2)
            body.inputs.remove(at: carried)
            body.outputs.remove(at: carried - 1)
        }
        attributes[place].value = .graph(body)
    }
}
