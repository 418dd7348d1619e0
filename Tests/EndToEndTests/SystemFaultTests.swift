import Foundation
import PythonOracle
import Testing

/// Faults of what the program stands on: files that are links, pipes or cut short, folders that cannot be written, output that nobody reads, a terminal that
/// is gone. The work is done or refused in one line; nothing that was there is lost.
@Suite struct SystemFaultTests {
    private func expectRefusal(_ arguments: [String], names: [String], environment: [String: String] = [:], directory: String? = nil) throws {
        let result = try Program.run(arguments, environment: environment, directory: directory)
        let shown = "lathe \(arguments.joined(separator: " "))"
        #expect(result.signal == nil && result.status == 2, "\(shown): status \(result.status), signal \(result.signal ?? 0): \(result.errors)")
        #expect(result.errorLines.count == 1 && result.output.isEmpty, "\(shown): \(result.errors)")
        for name in names { #expect(result.errors.contains(name), "\(shown): \(result.errors)") }
    }

    /// The folders of a user of its own.
    private func user(_ folder: TemporaryFolder) -> [String: String] {
        ["HOME": folder.path, "XDG_STATE_HOME": folder.file("state"), "XDG_CACHE_HOME": folder.file("cache"), "XDG_CONFIG_HOME": folder.file("config")]
    }

    // MARK: What is read

    /// Commands that run nothing do not look at the library; those that do refuse it by name.
    @Test func libraryThatIsCutShort() throws {
        let folder = try TemporaryFolder()
        let named = ProcessInfo.processInfo.environment["LATHE_ONNXRUNTIME"] ?? Repository.root + "/.deps/onnxruntime"
        // A folder stands for the library in it.
        let inside = (try? FileManager.default.contentsOfDirectory(atPath: named))?.filter { $0.hasPrefix("libonnxruntime.so") }.max()
        let file = inside.map { "\(named)/\($0)" } ?? named
        let whole = try Data(contentsOf: URL(fileURLWithPath: file), options: .mappedIfSafe)
        let cut = folder.file("libonnxruntime.so")
        for length in [0, 1000, whole.count / 2, whole.count - 4096] {
            try whole.prefix(length).write(to: URL(fileURLWithPath: cut))
            try expectRefusal(["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data], names: [cut], environment: ["LATHE_ONNXRUNTIME": cut])
            let inspect = try Program.run(["inspect", Samples.path("lenet-300-100"), "--quick"], environment: ["LATHE_ONNXRUNTIME": cut])
            #expect(inspect.status == 0 && inspect.output.contains(cut), "\(length): \(inspect.errors)")
            let apply = try Program.run(
                ["apply", Samples.path("lenet-300-100"), "--step", "magnitude-pruning", "-o", folder.file("o.onnx")], environment: ["LATHE_ONNXRUNTIME": cut])
            #expect(apply.status == 0, "\(length): \(apply.errors)")
        }
    }

    /// Pipes without a writer in place of every file that is read.
    @Test(.timeLimit(.minutes(2))) func pipesInPlaceOfFiles() throws {
        let folder = try TemporaryFolder()
        let model = Samples.path("lenet-300-100")
        let (onnx, yaml, npz, out) = (folder.file("p.onnx"), folder.file("p.yaml"), folder.file("p.npz"), folder.file("o"))
        for path in [onnx, yaml, npz] { try #require(mkfifo(path, 0o644) == 0) }
        try expectRefusal(["inspect", onnx], names: [onnx])
        try expectRefusal(["evaluate", onnx, "--data", Samples.data], names: [onnx])
        try expectRefusal(["evaluate", model, "--data", Samples.data, "--baseline", onnx], names: [onnx])
        try expectRefusal(["apply", model, "--step", "fp16", "--teacher", onnx, "-o", out], names: [onnx])
        try expectRefusal(["pack", onnx, "-o", out], names: [onnx])
        try expectRefusal(["unpack", onnx, "-o", out], names: [onnx])
        for data in [yaml, npz] { try expectRefusal(["evaluate", model, "--data", data], names: [data]) }
        try expectRefusal(["apply", model, "--recipe", yaml, "-o", out], names: [yaml])
        try expectRefusal(["replay", yaml], names: [yaml])
        try expectRefusal(["evaluate", model, "--data", Samples.data], names: [onnx], environment: ["LATHE_ONNXRUNTIME": onnx])
        #expect(!FileManager.default.fileExists(atPath: out))
    }

    @Test func externalDataThroughLinks() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, sys, onnx
            m = onnx.load(sys.argv[1]); os.chdir(sys.argv[2])
            for name in ('secret', 'file', 'folder'): os.makedirs(name)
            onnx.save_model(m, 'secret/m.onnx', save_as_external_data=True, location='w.bin', size_threshold=100)
            os.rename('secret/m.onnx', 'file/m.onnx'); os.symlink('../secret/w.bin', 'file/w.bin')
            onnx.save_model(onnx.load(sys.argv[1]), 'folder/m.onnx', save_as_external_data=True, location='w.bin', size_threshold=100)
            m = onnx.load('folder/m.onnx', load_external_data=False)
            for t in m.graph.initializer:
                for e in t.external_data:
                    if e.key == 'location': e.value = 'd/w.bin'
            os.remove('folder/w.bin'); os.symlink('../secret', 'folder/d'); open('folder/m.onnx', 'wb').write(m.SerializeToString())
            """, Samples.path("lenet-300-100"), folder.path)
        for name in ["file", "folder"] {
            let model = folder.file("\(name)/m.onnx")
            try expectRefusal(["inspect", model], names: [model, "outside the model's folder"])
            try expectRefusal(["apply", model, "--step", "fp16", "-o", folder.file("o.onnx")], names: [model])
            try expectRefusal(["pack", model, "-o", folder.file("o.lathe")], names: [model])
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["file", "folder", "secret"])
    }

    // MARK: What is written

    /// By whatever name it is called, nothing that a command reads is replaced, nor one of its outputs by another.
    @Test func whatIsReadIsNotReplaced() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, sys, shutil, numpy as np, onnx
            os.chdir(sys.argv[2])
            onnx.save_model(onnx.load(sys.argv[1]), 'm.onnx', save_as_external_data=True, location='w.bin', size_threshold=100)
            onnx.save_model(onnx.load(sys.argv[1]), 't.onnx', save_as_external_data=True, location='t.bin', size_threshold=100)
            r = np.random.default_rng(0)
            for name in ('train', 'validation'): np.savez(name + '.npz', image=r.standard_normal((64, 1, 28, 28)).astype('f4'), labels=r.integers(0, 10, 64))
            open('d.yaml', 'w').write('format: npz\\nsplits:\\n  train: {file: train.npz, labels: labels}\\n  validation: {file: validation.npz, labels: labels}\\n')
            open('r.yaml', 'w').write('lathe: 1\\nsteps:\\n  - technique: magnitude-pruning\\n')
            os.symlink('w.bin', 'soft'); os.link('w.bin', 'hard'); os.symlink('.', 'here')
            """, Samples.path("lenet-300-100"), folder.path)
        func identities() throws -> [String: [UInt64]] {
            try FileManager.default.contentsOfDirectory(atPath: folder.path).reduce(into: [:]) { all, name in
                var status = stat()
                if stat(folder.file(name), &status) == 0 { all[name] = [UInt64(status.st_ino), UInt64(status.st_size)] }
            }
        }
        let before = try identities()
        let apply = ["apply", "m.onnx", "--recipe", "r.yaml", "--data", "d.yaml", "--teacher", "t.onnx"]
        for name in ["m.onnx", "w.bin", "./w.bin", folder.file("w.bin"), "here/w.bin", "soft", "hard", "d.yaml", "train.npz", "validation.npz", "r.yaml", "t.onnx", "t.bin"] {
            for option in ["--output", "--pack", "--save-recipe"] {
                let rest = option == "--save-recipe" ? ["--output", "new.onnx"] : []
                try expectRefusal(apply + [option, name] + rest, names: ["lathe: \(name): would overwrite"], directory: folder.path)
            }
        }
        for (first, second) in [("--output", "--pack"), ("--output", "--save-recipe"), ("--pack", "--save-recipe")] {
            let rest = first == "--pack" ? ["--output", "other.onnx"] : []
            try expectRefusal(apply + [first, "new", second, "here/./new"] + rest, names: ["here/./new: would overwrite another output, new"], directory: folder.path)
        }
        for name in ["w.bin", "train.npz"] { try expectRefusal(["train", "m.onnx", "--data", "d.yaml", "-o", name], names: [name, "overwrite"], directory: folder.path) }
        try expectRefusal(["pack", "m.onnx", "-o", "w.bin"], names: ["w.bin", "the weights of the model"], directory: folder.path)
        try expectRefusal(
            ["sensitivity", "m.onnx", "--data", "d.yaml", "--step", "magnitude-pruning", "--budget", "80", "--save-recipe", "d.yaml"], names: ["d.yaml", "the data set"],
            directory: folder.path)
        #expect(try identities() == before)
        let fine = try Program.run(apply + ["--output", "new.onnx"], directory: folder.path)
        #expect(fine.status == 0, "\(fine.errors)")
        // What a command has written before it writes again.
        let again = try Program.run(apply + ["--output", "new.onnx"], directory: folder.path)
        #expect(again.status == 0, "\(again.errors)")
    }

    @Test func devicesAndPipesAsOutputs() throws {
        let folder = try TemporaryFolder()
        let step = ["apply", Samples.path("lenet-300-100"), "--step", "fp16"]
        #expect(try Program.run(step + ["-o", folder.file("o.onnx")]).status == 0)
        let expected = try contents(folder.file("o.onnx"))
        try FileManager.default.createSymbolicLink(atPath: folder.file("null"), withDestinationPath: "/dev/null")
        #expect(try Program.run(step + ["-o", folder.file("null")]).status == 0)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("null")) == "/dev/null")
        try expectRefusal(step + ["-o", "/dev/full"], names: ["/dev/full", "No space left"])
        try expectRefusal(step + ["-o", folder.path], names: [folder.path, "is a folder"])
        // Standard output carries the model and nothing else, into a pipe and into a file.
        let shell = "\"$0\" apply \"$1\" --step fp16 -o /dev/stdout | cat >\"$2/piped\"; \"$0\" apply \"$1\" --step fp16 -o /dev/stdout >\"$2/redirected\""
        let result = try ChildProcess.run("/bin/sh", ["-c", shell, Program.path, Samples.path("lenet-300-100"), folder.path])
        #expect(result.status == 0 && result.errors.contains("wrote /dev/stdout"), "\(result.errors)")
        #expect(try contents(folder.file("piped")) == expected && contents(folder.file("redirected")) == expected)
    }

    // MARK: Output that cannot be written

    /// Standard output without a reader, full, or closed: files are written all the same, and the status says that not all was said.
    @Test(arguments: [("| :", Int32(141)), (">/dev/full", 2), (">&-", 2)]) func outputThatNobodyReads(_ redirection: String, _ status: Int32) throws {
        let folder = try TemporaryFolder()
        let data = try Samples.data(images: 64, in: folder)
        let train = "\"$0\" train \"$1\" --data \"$2\" --epochs 2 --anew -o \"$3/t.onnx\""
        let apply = "\"$0\" apply \"$1\" --step fp16 -o \"$3/a.onnx\""
        for ignored in ["trap '' PIPE", ":"] {
            for (command, file) in [(train, "t.onnx"), (apply, "a.onnx")] {
                // The status of the program, not of what it is piped into.
                let script = "\(ignored); { sleep 0.3; \(command); echo $? >\"$3/status\"; } \(redirection)"
                let result = try ChildProcess.run("/bin/sh", ["-c", script, Program.path, Samples.path("lenet-300-100"), data, folder.path], environment: user(folder))
                let told = try String(contentsOfFile: folder.file("status"), encoding: .utf8)
                #expect(told == "\(status)\n", "\(script): \(result.errors)")
                #expect(result.errorLines.count == (status == 2 ? 1 : 0), "\(result.errors)")
                #expect(FileManager.default.fileExists(atPath: folder.file(file)), "\(script) wrote no model")
                try? FileManager.default.removeItem(atPath: folder.file(file))
            }
        }
    }

    /// A terminal that goes away ends a command, unless it was told to ignore that: then it goes on, and what it makes is kept.
    @Test func theTerminalGoesAway() throws {
        let folder = try TemporaryFolder()
        let data = try Samples.data(images: 64, in: folder)
        let told = try Python.run(
            """
            import fcntl, os, pty, signal, subprocess, sys, time
            program, model, data, folder = sys.argv[1:5]
            def run(name, epochs, ignores):
                outer, inner = pty.openpty()
                def begin():
                    os.setsid(); fcntl.ioctl(inner, 0x540E, 0)
                    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignores else signal.SIG_DFL)
                process = subprocess.Popen([program, 'train', model, '--data', data, '--epochs', epochs, '--anew', '-o', f'{folder}/{name}'], stdin=inner, stdout=inner, stderr=inner, preexec_fn=begin)
                os.close(inner)
                os.read(outer, 10)
                time.sleep(0.3)
                os.close(outer)
                print(name, process.wait(timeout=120), os.path.exists(f'{folder}/{name}'))
            run('hangup', '500', False)
            run('nohup', '40', True)
            print(sum('partial' in name for name in os.listdir(folder)))
            """, arguments: [Program.path, Samples.path("lenet-300-100"), data, folder.path])
        #expect(told == "hangup 130 False\nnohup 2 True\n0\n", "\(told)")
    }

    // MARK: The user's folders

    /// The folder for results cannot be made: a file stands in its place.
    @Test func stateThatCannotBeKept() throws {
        let folder = try TemporaryFolder()
        let data = try Samples.data(images: 64, in: folder)
        let environment = user(folder).merging(["XDG_STATE_HOME": try folder.write("file", "in the way")]) { $1 }
        let model = Samples.path("lenet-300-100")
        for arguments in [
            ["train", model, "--data", data, "--epochs", "1", "-o", folder.file("t.onnx")],
            ["apply", model, "--data", data, "--step", "fine-tuning:epochs=1", "-o", folder.file("a.onnx")],
            ["sensitivity", model, "--data", data, "--step", "magnitude-pruning", "--values", "0.5"],
        ] {
            let result = try Program.run(arguments, environment: environment)
            #expect(result.status == 0 && result.signal == nil, "\(arguments): \(result.errors)")
            #expect(result.errorLines.count == 1 && result.errors.contains("warning: ") && result.errors.contains("this session only"), "\(arguments): \(result.errors)")
        }
        #expect(FileManager.default.fileExists(atPath: folder.file("t.onnx")) && FileManager.default.fileExists(atPath: folder.file("a.onnx")))
        let terminal = try Tmux(width: 250, height: 40, environment: ["XDG_STATE_HOME": folder.file("file")])
        try terminal.open(data: nil)
        try terminal.quit()
        try terminal.wait(for: "this session is not logged")
    }

    /// ONNX Runtime looks up no address and leaves no identity of the device.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/strace"), "strace is not installed"))
    func nothingIsSentAnywhere() throws {
        let folder = try TemporaryFolder()
        let data = try Samples.data(images: 64, in: folder)
        let arguments = ["-f", "-qq", "-e", "trace=network", "-o", folder.file("calls"), Program.path, "evaluate", Samples.path("lenet-300-100"), "--data", data, "--no-latency"]
        let result = try ChildProcess.run("/usr/bin/strace", arguments, environment: user(folder))
        try #require(result.status == 0, "\(result.errors)")
        let calls = try String(contentsOfFile: folder.file("calls"), encoding: .utf8).split(separator: "\n").filter { $0.contains("AF_INET") }
        #expect(calls.isEmpty, "\(calls.prefix(3))")
        let kept = FileManager.default.enumerator(atPath: folder.file("cache"))?.compactMap { $0 as? String } ?? []
        #expect(kept.isEmpty, "\(kept)")
    }

    /// Names of five thousand characters, in every kind of place that an error names. (ONNX Runtime's own messages repeat them.)
    @Test func longNames() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import sys, numpy as np
            from onnx import helper as h, TensorProto as T, numpy_helper as nh
            for tag, n in (('plain', 'n' * 5000), ('spaced', 'n n ' * 1250), ('slashed', '/n' * 2500)):
                w = nh.from_array(np.ones((3, 4), np.float32), n)
                g = h.make_graph([h.make_node('MatMul', [n + 'x', n], [n + 'y'], name=n)], 'g', [h.make_tensor_value_info(n + 'x', T.FLOAT, [1, 3])], [h.make_tensor_value_info(n + 'y', T.FLOAT, [1, 4])], [w])
                m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8)
                def write(name): open(f'{sys.argv[1]}/{tag}-{name}.onnx', 'wb').write(m.SerializeToString())
                write('fine')
                m.graph.node[0].op_type = 'Nope' + n; write('operator')
                m.graph.node[0].op_type = 'MatMul'; m.graph.initializer[0].raw_data = b'abc'; write('short')
            """, folder.path)
        for tag in ["plain", "spaced", "slashed"] {
            for arguments in [
                ["inspect", "\(tag)-short.onnx"], ["inspect", "\(tag)-fine.onnx", "--shape", "x=1x3"], ["evaluate", "\(tag)-fine.onnx", "--data", Samples.data],
                ["evaluate", "\(tag)-operator.onnx", "--data", Samples.data], ["apply", "\(tag)-fine.onnx", "--step", "magnitude-pruning@nowhere", "-o", "o.onnx"],
            ] {
                let result = try Program.run(arguments, directory: folder.path)
                #expect(
                    result.status == 2 && result.errorLines.count == 1 && result.errors.count < 1100,
                    "\(arguments): \(result.errors.count) characters: \(result.errors.prefix(900))"
                )
            }
        }
    }
}
