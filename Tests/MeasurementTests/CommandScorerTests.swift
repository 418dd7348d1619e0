import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport
@testable import Measurement

/// A program that scores samples: what it is sent, what it may answer, and what becomes of one that does not.
@Suite struct CommandScorerTests {
    /// Six samples of three numbers, scored by a program.
    private func run(_ script: String, seconds: Double = 20, labels: String = "label") throws -> [[Double]] {
        let folder = try TemporaryFolder()
        let path = try folder.write("score.py", script)
        var options = MetricOptions()
        options.command = [Python.executable, path]
        options.commandSeconds = seconds
        let floats = try SampleMemory(byteCount: 6 * 4, what: "test")
        let split = DatasetSplit(
            name: .validation, inputs: [SampleInput(name: "x", type: .float32, shape: [1])], memories: [floats], count: 6, labels: labels == "none" ? nil : [0, 1, 2, 0, 1, 2],
            place: "test")
        let scorer = try CommandScorer(SampleSet(split, metric: .score, options: options))
        let output = BatchedOutput(name: "y", values: (0..<18).map(Float.init), shape: [3], rows: 6)
        // Labels come in the order of evaluation.
        let order = try SampleSet(split, metric: .score).prepared.rows
        let found =
            try scorer.contributions([output.rows(0..<4)], 0..<4, cancellation: Cancellation()) + scorer.contributions([output.rows(4..<6)], 4..<6, cancellation: Cancellation())
        #expect(found.count == 6 && order.count == 6)
        try scorer.finish()
        return found
    }

    private static let reader = """
        import json, sys, numpy
        class Pipe:
            # NumPy takes a buffered reader for a file and asks where it stands.
            def __init__(self, stream): self.stream = stream
            def read(self, count): return self.stream.read(count)
        stream = sys.stdin.buffer
        pipe = Pipe(stream)
        def batches():
            while True:
                line = stream.readline()
                if not line: return
                head = json.loads(line)
                arrays = [numpy.lib.format.read_array(pipe) for _ in head["outputs"]]
                labels = None if head["labels"] is None else numpy.lib.format.read_array(pipe)
                yield head, arrays, labels

        """

    private func message(_ script: String, seconds: Double = 20) -> String {
        do {
            _ = try run(script, seconds: seconds)
            return "no error"
        } catch {
            return "\(error)"
        }
    }

    @Test func batchesArriveWhole() throws {
        let found = try run(
            Self.reader + """
                for head, (y,), labels in batches():
                    assert y.shape == (head["samples"], 3) and y.dtype == numpy.float32 and labels.shape == (head["samples"],) and labels.dtype == numpy.int64
                    for row, label in zip(y, labels): print(row.sum(), 2, flush=True)
                """)
        #expect(found == [[3, 2], [12, 2], [21, 2], [30, 2], [39, 2], [48, 2]])
    }

    @Test func oneNumberIsAMeanAndTwoAreAQuotient() throws {
        let computation = try #require(CommandScorer.computation(of: .score))
        #expect(computation.statistic(of: [[1], [2], [6]]).value(counts: nil) == 3)
        #expect(computation.statistic(of: [[1, 4], [2, 1], [6, 1]]).value(counts: nil) == 1.5)
        #expect(computation.statistic(of: [[1, 4], [2, 1], [6, 1]]).value(counts: [0, 2, 0]) == 2)
        #expect(CommandScorer.computation(of: .mae) == nil)
    }

    @Test func withoutLabelsThereAreNone() throws {
        let found = try run(
            Self.reader + """
                for head, (y,), labels in batches():
                    assert labels is None
                    for row in y: print(row[0], flush=True)
                """, labels: "none")
        #expect(found == [[0], [3], [6], [9], [12], [15]])
    }

    @Test func whatGoesWrongIsOneLine() {
        #expect(message("import sys; print('boom', file=sys.stderr); sys.exit(3)").contains("ended with status 3 before it had answered: boom"))
        #expect(message("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").contains("ended by signal 9"))
        #expect(message(Self.reader + "for head, a, l in batches():\n  for _ in range(head['samples']): print('good', flush=True)").contains("answered 'good' for sample 0"))
        #expect(message(Self.reader + "for head, a, l in batches():\n  for _ in range(head['samples']): print('nan', flush=True)").contains("expected finite numbers"))
        #expect(message(Self.reader + "for head, a, l in batches():\n  for _ in range(head['samples']): print('1 2 3', flush=True)").contains("expected one or two numbers"))
        #expect(message(Self.reader + "for head, a, l in batches():\n  for _ in range(head['samples'] + 1): print(1)\n  sys.stdout.flush()").contains("answered more lines"))
        #expect(message("import time; time.sleep(60)", seconds: 0.5).contains("0 of 4 answers within 0.5 s"))
        #expect(message("import sys\nwhile True: sys.stdout.write('x' * 65536)").contains("without the end of a line"))
        #expect(message("import sys; print('rubbish', end='', flush=True); sys.exit(3)").contains("with 'rubbish' last"))
        let count = Self.reader + "for n, (head, a, l) in enumerate(batches()):\n  for _ in range(head['samples']): print("
        #expect(message(count + "'1' if n == 0 else '1 2', flush=True)").contains("answered 2 numbers for sample 4, 1 for those before"))
        #expect(message(count + "'1e308', flush=True)").contains("expected finite numbers"))
        #expect(message(count + "1, flush=True)\nprint('bye')").contains("answered more lines"))
    }

    /// Whoever ends, or closes its output, or leaves a child behind: nothing of it is left, and what is said is true.
    @Test func nothingOfAProgramIsLeft() throws {
        let folder = try TemporaryFolder()
        let mark = "lathe-left-\(getpid())"
        let sleeper = "subprocess.Popen(['sh', '-c', 'sleep 60 # \(mark)'])\n"
        let good = Self.reader + "import subprocess, time, os\n"
        let answers = "for head, a, l in batches():\n  for _ in range(head['samples']): print(1, flush=True)\n"
        #expect(try run(good + sleeper + answers).count == 6)
        #expect(try run(good + answers + sleeper + "time.sleep(60)").count == 6)
        #expect(message(good + sleeper + "os._exit(3)").contains("ended with status 3"))
        #expect(message(good + "os.close(1); time.sleep(60)").contains("closed its output before it had answered"))
        let list = Process()
        list.executableURL = URL(fileURLWithPath: "/bin/sh")
        list.arguments = ["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[#] \(mark)' > \(folder.path)/count"]
        try list.run()
        list.waitUntilExit()
        #expect(try String(contentsOfFile: "\(folder.path)/count", encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines) == "0")
    }

    @Test func aProgramThatIsNotThereIsNamed() throws {
        var options = MetricOptions()
        options.command = ["/nowhere/score"]
        let split = DatasetSplit(
            name: .validation, inputs: [SampleInput(name: "x", type: .float32, shape: [1])], memories: [try SampleMemory(byteCount: 4, what: "test")], count: 1, labels: [0],
            place: "test")
        let scorer = try CommandScorer(SampleSet(split, metric: .score, options: options))
        #expect {
            _ = try scorer.contributions([BatchedOutput(name: "y", values: [1], shape: [1], rows: 1)], 0..<1, cancellation: Cancellation())
        } throws: { "\($0)".contains("metric command '/nowhere/score': cannot be started: No such file") }
    }

    @Test func labelsOfEveryKindAreArrays() throws {
        let boxes: [SampleTarget] = [.boxes([TrueBox(category: 2, left: 1, top: 2, right: 3, bottom: 5)]), .boxes([])]
        let box = try #require(NPYWriter.targets(boxes))
        #expect(String(decoding: box, as: UTF8.self).contains("'shape': (1, 8)") && box.count % 64 == 32)
        let texts = try #require(NPYWriter.targets([.text("né"), .text("x")]))
        #expect(String(decoding: texts, as: UTF8.self).contains("'<U2'") && texts.count == 128 + 16)
        let ragged = try #require(NPYWriter.targets([.classes([1, 2], shape: [2]), .classes([3], shape: [1])]))
        #expect(String(decoding: ragged, as: UTF8.self).contains("'shape': (2, 2)"))
        #expect(NPYWriter.targets([]) == nil)
    }
}
