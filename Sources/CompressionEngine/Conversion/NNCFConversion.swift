import Techniques

/// A recipe as a Python script for NNCF: quantize and compress_weights, one behind the other.
enum NNCFConversion {
    static func converted(_ steps: [ConvertedStep]) -> ConvertedRecipe? {
        var (omissions, calls): ([String], [String]) = ([], [])
        for step in steps {
            guard let made = call(step) else {
                omissions.append(step.omission("NNCF has no counterpart for ONNX"))
                continue
            }
            calls.append(made.call)
            omissions += made.omissions
        }
        guard !calls.isEmpty else { return nil }
        return ConvertedRecipe(text: header(omissions) + calls.joined(separator: "\n") + "\nonnx.save(model, sys.argv[3])\n", omissions: omissions)
    }

    private static func call(_ step: ConvertedStep) -> (call: String, omissions: [String])? {
        let others = ConvertedText.list(step.others.map(\.id))
        let scope = step.others.isEmpty ? "" : ", ignored_scope=nncf.IgnoredScope(names=\(others), validate=False)"
        switch step.technique {
        case "static-int8":
            var omissions = step.omissions([
                ("weights", "NNCF chooses which weights share a scale"), ("weight-bits", "NNCF chooses the range of weights by the target device"),
                ("carry", "NNCF decides which operators between layers compute in integers"),
                ("calibration", "NNCF has ranges of its own; its min-max is taken"), ("percentile", "NNCF has ranges of its own"),
            ])
            omissions.append(step.omission("target=\(step.parameters.choice("target")): every layer computes in integers, however fast that is"))
            return (
                """

                # Step \(step.number), \(step.technique)
                arrays = np.load(sys.argv[2])
                names = [value.name for value in model.graph.input if value.name in arrays]
                samples = [{name: arrays[name][place : place + 1] for name in names} for place in range(min(\(step.parameters.integer("samples")), len(arrays[names[0]])))]
                model = nncf.quantize(
                    model, nncf.Dataset(samples), subset_size=len(samples), preset=nncf.QuantizationPreset.\(step.parameters.choice("activations") == "int8" ? "PERFORMANCE" : "MIXED"), \
                fast_bias_correction=True\(scope))

                """, omissions
            )
        case "weight-quantization":
            let bits = step.parameters.integer("bits")
            guard [4, 8].contains(bits) else { return nil }
            let symmetric = step.parameters.flag("symmetric")
            var omissions = step.omissions([
                ("range", "NNCF covers every weight"), ("rounding", "NNCF rounds to the nearest"), ("levels", "NNCF has evenly spaced values"),
                ("storage", "NNCF writes DequantizeLinear"), ("activations", "NNCF leaves activations to the runtime"),
            ])
            let isGroup = step.parameters.choice("granularity") == "group"
            if step.parameters.choice("granularity") == "tensor" { omissions.append(step.omission("granularity=tensor: NNCF has a scale for each channel")) }
            let mode = "INT\(bits)_\(symmetric ? "SYM" : "ASYM")"
            let fallback = ", advanced_parameters=nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.IGNORE)"
            let group = bits == 8 ? "" : ", group_size=\(isGroup ? step.parameters.choice("group-size") : "-1"), all_layers=True\(isGroup ? fallback : "")"
            if bits == 4, isGroup { omissions.append(step.omission("NNCF leaves layers alone whose inputs are no multiple of the group")) }
            if bits == 8, isGroup { omissions.append(step.omission("granularity=group: NNCF has a scale for each channel at 8 bits")) }
            return (
                """

                # Step \(step.number), \(step.technique)
                model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.\(mode)\(group)\(scope))

                """, omissions
            )
        default: return nil
        }
    }

    private static func header(_ omissions: [String]) -> String {
        """
        \"\"\"A recipe of lathe for NNCF.

            python SCRIPT MODEL SAMPLES.npz OUTPUT

        SAMPLES.npz holds an array for each input of the model, samples first. Needs the packages nncf, onnx and onnxruntime.
        \(omissions.isEmpty ? "" : "\nWhat the recipe says and this does not:\n\n" + omissions.map { "- \($0)\n" }.joined())\"\"\"
        import sys

        import nncf
        import numpy as np
        import onnx

        if len(sys.argv) != 4:
            raise SystemExit(__doc__)
        model = onnx.load(sys.argv[1])

        """
    }
}
