import ModelGraph
import Techniques

/// A recipe as a Python script for `onnxruntime.quantization`: quantize_static, quantize_dynamic and MatMulNBitsQuantizer, one behind the other.
enum OnnxRuntimeConversion {
    static func converted(_ steps: [ConvertedStep], _ model: Model) -> ConvertedRecipe? {
        var omissions: [String] = []
        var calls: [String] = []
        for step in steps {
            let lines: (call: String, omissions: [String])? =
                switch step.technique {
                case "static-int8": staticCall(step)
                case "dynamic-int8": dynamicCall(step)
                case "weight-quantization": blockCall(step)
                default: nil
                }
            guard let lines else {
                omissions.append(step.omission("onnxruntime.quantization has no counterpart"))
                continue
            }
            calls.append(lines.call)
            omissions += lines.omissions
        }
        guard !calls.isEmpty else { return nil }
        let text = header(omissions) + (model.opset < 13 ? lifting : "") + calls.joined(separator: "\n") + "\nonnx.save(onnx.load(source), sys.argv[3])\n"
        return ConvertedRecipe(text: text, omissions: omissions)
    }

    /// Names as they stand in the file; layers without a name are known by their output, which the tool does not know.
    private static func names(_ step: ConvertedStep) -> (list: String, omissions: [String]) {
        let unnamed = step.layers.filter { $0.id.isEmpty }
        return (ConvertedText.list(step.layers.map(\.id)), unnamed.isEmpty ? [] : [step.omission("\(unnamed.count) layers have no name")])
    }

    private static func staticCall(_ step: ConvertedStep) -> (call: String, omissions: [String])? {
        let method = ["minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"][step.parameters.choice("calibration")]
        var omissions = step.omissions([
            ("carry", "the tool decides which operators between layers compute in integers")
        ])
        omissions.append(step.omission("target=\(step.parameters.choice("target")): every layer named computes in integers, however fast that is"))
        if method == nil { omissions.append(step.omission("calibration=\(step.parameters.choice("calibration")) has no counterpart: MinMax is taken")) }
        let products = step.layers.filter { $0.kind != .embedding }
        if products.count < step.layers.count { omissions.append(step.omission("tables of embeddings stay in float")) }
        var extra: [String] = []
        if step.parameters.choice("calibration") == "percentile" { extra.append("\"CalibPercentile\": \(step.parameters.real("percentile"))") }
        let call = """

            # Step \(step.number), \(step.technique)
            prepared = beside("prepared")
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            source, before = beside("\(step.number)"), prepared
            quantize_static(
                before, source, Samples(before, sys.argv[2], \(step.parameters.integer("samples"))), quant_format=QuantFormat.QDQ,
                per_channel=\(step.parameters.choice("weights") == "tensor" ? "False" : "True"), reduce_range=\(step.parameters.choice("weight-bits") == "7" ? "True" : "False"),
                activation_type=QuantType.\(step.parameters.choice("activations") == "int8" ? "QInt8" : "QUInt8"), weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.\(method ?? "MinMax"), nodes_to_quantize=known(before, \(ConvertedText.list(products.map(\.id)))), extra_options={\(extra.joined(separator: ", "))})
            """
        return products.isEmpty ? nil : (call + "\n", omissions)
    }

    private static func dynamicCall(_ step: ConvertedStep) -> (call: String, omissions: [String])? {
        // The tool makes MatMul and Add of a Gemm first, under another name.
        let gemms = step.layers.filter { $0.kind == .gemm }.map { $0.id + "_MatMul" }
        let renamed = gemms.isEmpty ? "" : " + \(ConvertedText.list(gemms))"
        let call = """

            # Step \(step.number), \(step.technique)
            source, before = beside("\(step.number)"), source
            quantize_dynamic(
                before, source, per_channel=\(step.parameters.choice("weights") == "tensor" ? "False" : "True"),
                reduce_range=\(step.parameters.choice("weight-bits") == "7" ? "True" : "False"),
                weight_type=QuantType.\(step.parameters.choice("weight-type") == "uint8" ? "QUInt8" : "QInt8"), nodes_to_quantize=known(before, \(names(step).list))\(renamed))
            """
        return (call + "\n", step.omissions([]) + names(step).omissions)
    }

    /// MatMulNBits: the one form of weights alone that the tool writes.
    private static func blockCall(_ step: ConvertedStep) -> (call: String, omissions: [String])? {
        let products = step.layers.filter { $0.kind == .matMul }
        let bits = step.parameters.integer("bits")
        guard [4, 8].contains(bits), !products.isEmpty else { return nil }
        var omissions = step.omissions([
            ("range", "the tool covers every weight"), ("rounding", "the tool rounds to the nearest"), ("levels", "the tool has evenly spaced values"),
        ])
        if step.parameters.choice("granularity") != "group" {
            omissions.append(
                step.omission("granularity=\(step.parameters.choice("granularity")): the tool has scales for blocks; blocks of \(step.parameters.choice("group-size")) are taken"))
        }
        if step.parameters.choice("storage") != "matmulnbits" { omissions.append(step.omission("storage=\(step.parameters.choice("storage")): the tool writes MatMulNBits")) }
        let left = step.layers.count - products.count
        if left > 0 { omissions.append(step.omission("\(left) layer\(left == 1 ? " is" : "s are") no MatMul and stay\(left == 1 ? "s" : "") in float")) }
        let call = """

            # Step \(step.number), \(step.technique)
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
            chosen = \(ConvertedText.list(products.map(\.id)))
            model = onnx.load(source)
            others = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in chosen]
            quantizer = MatMulNBitsQuantizer(
                model, bits=\(bits), block_size=\(step.parameters.choice("group-size")), is_symmetric=\(step.parameters.flag("symmetric") ? "True" : "False"), \
            accuracy_level=\(step.parameters.choice("activations") == "int8" ? 4 : 0), nodes_to_exclude=others)
            quantizer.process()
            source = beside("\(step.number)")
            quantizer.model.save_model_to_file(source)
            """
        return (call + "\n", omissions)
    }

    private static func header(_ omissions: [String]) -> String {
        """
        \"\"\"A recipe of lathe for onnxruntime.quantization.

            python SCRIPT MODEL SAMPLES.npz OUTPUT

        SAMPLES.npz holds an array for each input of the model, samples first. Needs the packages onnx and onnxruntime, and onnx-ir for blocks of weights.
        \(omissions.isEmpty ? "" : "\nWhat the recipe says and this does not:\n\n" + omissions.map { "- \($0)\n" }.joined())\"\"\"
        import os
        import sys
        import tempfile

        import numpy as np
        import onnx
        import onnx.version_converter
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        if len(sys.argv) != 4:
            raise SystemExit(__doc__)
        source, folder = sys.argv[1], tempfile.TemporaryDirectory()


        def beside(name):
            return os.path.join(folder.name, name + ".onnx")


        def known(path, names):
            \"\"\"The names that the model has: the tool passes over others without a word.\"\"\"
            present = {node.name for node in onnx.load(path, load_external_data=False).graph.node}
            for name in names:
                if name not in present:
                    print(f"{name}: is no node of the model any more", file=sys.stderr)
            return [name for name in names if name in present]


        class Samples(CalibrationDataReader):
            \"\"\"The first samples, in batches.\"\"\"

            def __init__(self, path, samples, count, batch=32):
                arrays = np.load(samples)
                names = [value.name for value in onnx.load(path, load_external_data=False).graph.input if value.name in arrays]
                count = min(count, min(len(arrays[name]) for name in names))
                self.feeds = iter([{name: arrays[name][start : min(start + batch, count)] for name in names} for start in range(0, count, batch)])

            def get_next(self):
                return next(self.feeds, None)


        """
    }

    /// A scale for each channel needs operator set 13, which the tool does not see to: what it writes is refused.
    private static let lifting = """

        lifted = beside("lifted")
        onnx.save(onnx.version_converter.convert_version(onnx.load(source), 13), lifted)
        source = lifted

        """
}
