import Foundation
import PythonOracle
import Testing

/// `lathe sensitivity`: measured, predicted from gradients, and both.
@Suite(.serialized) struct SensitivityCommandTests {
    private let common = ["sensitivity", Samples.path("lenet-5"), "--data", Samples.data, "--step", "weight-quantization", "--values", "2,4,8", "--limit", "1000"]

    private func cells(_ document: JSON) -> [JSON] { document["rows"]?.array.flatMap { $0["cells"]?.array ?? [] } ?? [] }

    @Test func gradientsPredictEveryCell() throws {
        let folder = try TemporaryFolder()
        let result = try Program.run(common + ["--method", "gradient", "--json"], environment: ["XDG_STATE_HOME": folder.path])
        #expect(result.status == 0, "\(result.errors)")
        let document = try JSON(parsing: result.output)
        let cells = cells(document)
        #expect(document["method"]?.string == "gradient" && (document["seconds"]?.double ?? 0) > 0 && cells.count == 12)
        for cell in cells {
            let (predicted, low, high) = (cell["predicted"]?.double ?? -1, cell["predictedInterval.low"]?.double ?? 1, cell["predictedInterval.high"]?.double ?? 0)
            #expect(predicted > 0 && low <= predicted && predicted <= high && cell["predictedLoss"]?.double != nil)
        }
        // Two tell the scale.
        #expect(cells.count { $0["loss"]?.double != nil } == 2)
        let text = try Program.run(common + ["--method", "gradient"], environment: ["XDG_STATE_HOME": folder.path])
        #expect(text.status == 0 && text.output.contains("≈ predicted from gradients, 2 cells measured"))
        let none = try Program.run(common + ["--method", "gradient", "--time", "0.001"], environment: ["XDG_STATE_HOME": folder.path])
        #expect(none.status == 0 && none.output.contains("too little was measured"), "\(none.output)")
    }

    @Test func unclearCellsAreMeasuredAndAllocated() throws {
        let folder = try TemporaryFolder()
        let result = try Program.run(common + ["--method", "auto", "--budget", "20%", "--json"], environment: ["XDG_STATE_HOME": folder.path])
        #expect(result.status == 0, "\(result.errors)")
        let document = try JSON(parsing: result.output)
        #expect(document["allocation.met"]?.bool == true)
        let measured = cells(document).count { $0["loss"]?.double != nil }
        #expect((2...12).contains(measured))
        // Measured ones are what measuring gives.
        let whole = try JSON(parsing: try Program.run(common + ["--json"], environment: ["XDG_STATE_HOME": folder.path]).output)
        for (some, all) in zip(cells(document), cells(whole)) {
            if let loss = some["loss"]?.double { #expect(loss == all["loss"]?.double) }
        }
    }

    @Test func whatDoesNotFitIsSaid() throws {
        let latency = try Program.run(common + ["--method", "gradient", "--latency"])
        #expect(latency.status != 0 && latency.errors.contains("predicts no latency"), "\(latency.errors)")
        let time = try Program.run(common + ["--time", "10s"])
        #expect(time.status != 0 && time.errors.contains("--time is for --method"), "\(time.errors)")
        let activations = try Program.run(["sensitivity", Samples.path("lenet-5"), "--data", Samples.data, "--step", "static-int8", "--method", "gradient"])
        #expect(activations.status == 0 && activations.output.contains("note: no number (×)"), "\(activations.output) \(activations.errors)")
    }
}
