// What one inference takes.
extension Measure {
    public static let macs = Measure(
        "macs", name: "MACs", explanation: "Multiply-accumulates of one inference; FLOPs = 2 × MACs. Bias, activations and pooling are not counted.", unit: "1",
        format: .count, comparison: .ratio(less: "fewer", more: "more"), documentKey: ["macs"], source: .figures { $0.macs })

    public static let flops = Measure(
        "flops", name: "FLOPs", explanation: "Floating-point operations of one inference: two for each multiply-accumulate.", unit: "1", format: .count,
        comparison: .ratio(less: "fewer", more: "more"), place: .document, documentKey: ["flops"],
        source: .figures { figures in figures.macs.map { Figure(2 * $0.value, $0.provenance) } })

    public static let latency = Measure(
        "latency", name: "latency", explanation: "Median time of one inference, baseline and candidate measured in turns. Not inferred from MACs.", unit: "ms",
        format: .milliseconds, kind: .measured, comparison: .ratio(less: "faster", more: "slower"), documentKey: ["latency"], storedKey: "latencyMedian", source: .latency)

    public static let energy = Measure(
        "energy", name: "energy", explanation: "Arithmetic and memory traffic priced at 45 nm figures: a model, never a measurement here.", unit: "pJ",
        format: .si(unit: "J", scale: 1e-12), kind: .modeled, comparison: .ratio(less: "less", more: "more"), documentKey: ["energyPicojoulesModeled"],
        storedKey: "energyPicojoules", source: .figures { $0.energyPicojoules })

    public static let peakActivations = Measure(
        "peak-activations", name: "peak activations", explanation: "Largest sum of intermediate values alive at once, at batch 1.", unit: "byte", format: .bytes,
        comparison: .ratio(less: "smaller", more: "larger"), place: .table, documentKey: ["peakActivationBytes"], source: .figures { $0.peakActivationBytes })

    public static let memory = Measure(
        "memory", name: "memory", explanation: "Weights in memory plus the largest sum of live activations, at batch 1.", unit: "byte", format: .bytes,
        comparison: .ratio(less: "smaller", more: "larger"), documentKey: ["memoryBytes"], source: .figures { $0.memoryBytes })
}

// What a recipe's trainings took, where it has any.
extension Measure {
    public static let trained = training(
        "trained", name: "trained parameters", shortTitle: "Trained", explanation: "Parameters that the recipe's trainings change, the largest of them.", unit: "1",
        format: .count, comparison: .ratio(less: "fewer", more: "more"), storedKey: "trainedParameters")

    public static let trainingMemory = training(
        "training-memory", name: "training memory", explanation: "Weights, gradients and optimizer states that a training keeps, the largest of them.", unit: "byte",
        format: .bytes, comparison: .ratio(less: "smaller", more: "larger"), storedKey: "trainingBytes")

    public static let trainingTime = training(
        "training-time", name: "training time", explanation: "Time of all epochs of the recipe's trainings on this machine.", unit: "s",
        format: .fixed(digits: 1, unit: "s"), kind: .measured, comparison: .ratio(less: "shorter", more: "longer"), storedKey: "trainingSeconds")

    private static func training(
        _ id: String, name: String, shortTitle: String? = nil, explanation: String, unit: String, format: MeasureFormat, kind: Kind = .counted, comparison: Comparison,
        storedKey: String
    ) -> Measure {
        Measure(
            id, name: name, shortTitle: shortTitle, explanation: explanation, unit: unit, format: format, kind: kind, comparison: comparison,
            documentKey: [storedKey], source: .training)
    }
}
