/// Recurrent layers.
enum RecurrentCases {
    private static let gates = ["LSTM": 4, "GRU": 3, "RNN": 1]

    /// - Parameters:
    ///   - read: which of the outputs Y, Y_h and Y_c the loss reads; the others are left out of the node.
    ///   - states: initial states, of which the node gets the first ones.
    private static func layer(
        _ type: String, _ title: String, direction: String = "forward", bias: Bool = true, states: Int = 0, read: [Int] = [0], opset: Int = 17,
        steps: Int = 4, with settings: KeyValuePairs<String, Setting> = [:]
    ) -> GradientCase {
        .several("\(type), \(title)", opset: opset, step: 0.05) { s in
            let (batch, width, hidden, directions) = (2, 3, 4, direction == "bidirectional" ? 2 : 1)
            let rows = (gates[type] ?? 1) * hidden
            let outputs = type == "LSTM" ? 3 : 2
            var inputs = [s.input(steps, batch, width), s.input(directions, rows, width, in: -0.8...0.8), s.input(directions, rows, hidden, in: -0.8...0.8)]
            inputs.append(bias ? s.input(directions, 2 * rows, in: -0.5...0.5) : "")
            inputs.append("")
            for _ in 0..<states { inputs.append(s.input(directions, batch, hidden, in: -0.7...0.7)) }
            while inputs.last == "" { inputs.removeLast() }
            let all: KeyValuePairs<String, Setting> = ["hidden_size": 4, "direction": .text(direction)]
            let made = s.nodes(type, inputs, with: all, outputs: outputs)
            for (name, value) in settings { s.set(name, value, ofMaker: made[0]) }
            for (index, value) in made.enumerated() where !read.contains(index) { s.leaveOut(value) }
            return read.map { made[$0] }
        }
    }

    static let all: [GradientCase] = lstm + gru + rnn

    private static let lstm: [GradientCase] = [
        layer("LSTM", "forward"),
        layer("LSTM", "reverse", direction: "reverse"),
        layer("LSTM", "bidirectional", direction: "bidirectional"),
        layer("LSTM", "no bias", bias: false),
        layer("LSTM", "initial states", states: 2),
        layer("LSTM", "bidirectional, initial states, all outputs", direction: "bidirectional", states: 2, read: [0, 1, 2]),
        layer("LSTM", "last state only", states: 1, read: [1]),
        layer("LSTM", "last cell only", read: [2]),
        layer("LSTM", "reverse, last states", direction: "reverse", read: [1, 2]),
        layer("LSTM", "opset 11", states: 2, opset: 11),
        layer("LSTM", "one step", states: 2, read: [0, 1, 2], steps: 1),
    ]

    private static let gru: [GradientCase] = [0, 1].flatMap { (linear: Int) -> [GradientCase] in
        let settings: KeyValuePairs<String, Setting> = ["linear_before_reset": .int(linear)]
        return [
            layer("GRU", "forward, linear before reset \(linear)", with: settings),
            layer("GRU", "reverse, linear before reset \(linear)", direction: "reverse", states: 1, with: settings),
            layer("GRU", "bidirectional, linear before reset \(linear)", direction: "bidirectional", states: 1, read: [0, 1], with: settings),
            layer("GRU", "no bias, linear before reset \(linear)", bias: false, with: settings),
            layer("GRU", "last state, linear before reset \(linear)", read: [1], opset: 11, with: settings),
        ]
    }

    private static let rnn: [GradientCase] = [
        layer("RNN", "forward"), layer("RNN", "reverse", direction: "reverse", states: 1, read: [0, 1]),
        layer("RNN", "bidirectional", direction: "bidirectional", states: 1, read: [0, 1]), layer("RNN", "no bias", bias: false, read: [1]),
    ]
}
