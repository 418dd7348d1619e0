import PythonOracle
import Testing

@testable import ModelGraph

/// Messages stay a line, however long the names are that files bring.
@Suite struct MessageNamesTests {
    private static let plain = String(repeating: "n", count: 5000)
    private static let spaced = String(repeating: "n n ", count: 1250)

    @Test func longNamesLoseTheirMiddle() {
        #expect("conv1".shortened == "conv1" && Self.plain.shortened.count == 80 && Self.plain.shortened.contains("n…n"))
        for name in [Self.plain, Self.spaced, String(repeating: "/n", count: 2500)] {
            let message = "m.onnx: tensor '\(name)': needs 48 bytes, the file has 3".namesShortened()
            #expect(
                message.count < 140 && message.hasPrefix("m.onnx: tensor 'n") != name.hasPrefix("/") && message.hasSuffix("': needs 48 bytes, the file has 3"),
                "\(message.prefix(300))")
        }
        #expect("Node (\(Self.plain)) Op (Nope) is not registered".namesShortened().count < 130)
        #expect(String(repeating: "'n' ", count: 5000).namesShortened().count <= 1000)
    }

    @Test func ordinaryMessagesStay() {
        for message in [
            "", "m.onnx: No such file or directory", "the model's 'a' isn't what 'b' reads: expected 'c', found nothing of that kind in any of the files that were looked at",
            String(repeating: "word ", count: 60),
        ] { #expect(message.namesShortened() == message) }
    }

    @Test func pathsStay() throws {
        let folder = try TemporaryFolder()
        let deep = Array(repeating: String(repeating: "d", count: 60), count: 3).joined(separator: "/")
        let file = try folder.write("\(deep)/m.onnx", "no model")
        #expect("\(file): not an ONNX model".namesShortened().hasPrefix(file + ":"))
        #expect("\(file).damaged: cannot be made".namesShortened() == "\(file).damaged: cannot be made")
        let missing = folder.file("\(deep)/missing.onnx")
        #expect("\(missing): No such file".namesShortened(keeping: [missing]) == "\(missing): No such file")
        #expect("'\(missing)': No such file".namesShortened(keeping: [missing]) == "'\(missing)': No such file")
    }
}
