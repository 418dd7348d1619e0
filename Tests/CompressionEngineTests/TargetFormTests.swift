import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import Techniques

/// What a written model is made of, against where it is to run.
@Suite struct TargetFormTests {
    private static func quantized(_ parameters: [String: ParameterValue], _ name: String = "lenet-300-100") throws -> Model {
        try Fixture.apply("weight-quantization", parameters, to: Fixture.sample(name)).model
    }

    @Test(arguments: 1...8) func packedCodesArePortable(bits: Int) throws {
        let model = try Self.quantized(["bits": .integer(bits)])
        for target in [TargetForm.any, .openvino, .portable] { #expect(target.objections(to: model).isEmpty, "\(bits): \(target.objections(to: model))") }
    }

    @Test func codebooksAndHashesArePortable() throws {
        for technique in ["hashednets", "product-quantization", "codebook-quantization"] {
            let model = try Fixture.apply(technique, to: Fixture.sample("lenet-5")).model
            #expect(TargetForm.portable.objections(to: model).isEmpty, "\(technique)")
        }
    }

    @Test func operatorsOfOthersAreNamed() throws {
        let blocks = try Self.quantized(["bits": .integer(4), "granularity": .choice("group"), "storage": .choice("matmulnbits")])
        let found = TargetForm.portable.objections(to: blocks)
        #expect(found.count == 1 && found[0].hasPrefix("com.microsoft.MatMulNBits, no operator of the standard ("), "\(found)")
        #expect(TargetForm.any.objections(to: blocks).isEmpty)
    }

    /// Files of earlier builds: what other runtimes compute otherwise is said.
    @Test func shiftsAreNamed() throws {
        let folder = try TemporaryFolder()
        try Python.run(ForeignFiles.script, "bitshift", folder.path + "/m.onnx")
        let model = try Model.read(path: folder.path + "/m.onnx")
        #expect(TargetForm.openvino.objections(to: model).count == 1 && TargetForm.portable.objections(to: model)[0].contains("OpenVINO and MNN compute something else"))
    }

    @Test func namesAreRead() {
        #expect(TargetForm(name: "onnxruntime") == .any && TargetForm(name: "openvino") == .openvino && TargetForm(name: "ncnn") == nil)
        #expect(TargetForm.any.name == "onnxruntime")
    }
}
