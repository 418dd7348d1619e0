import Foundation
import Metrics
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Recordings, against SciPy and soundfile")
struct SoundTests {
    private func worst(_ a: [Float], _ b: [Float]) -> Float { a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity }

    @Test("WAV of every width and FLAC: samples as soundfile reads them, channels averaged")
    func decoding() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import soundfile
            r = np.random.default_rng(5)
            x = (r.standard_normal((3001, 3)) * 0.2).astype('f4')
            for name, kind in [('pcm8', 'PCM_U8'), ('pcm16', 'PCM_16'), ('pcm24', 'PCM_24'), ('pcm32', 'PCM_32'), ('float', 'FLOAT'), ('double', 'DOUBLE'), ('ulaw', 'ULAW')]:
                for channels in [1, 2, 3]:
                    soundfile.write(f'{args[0]}/{name}_{channels}.wav', x[:, :channels], 22050, subtype=kind)
            soundfile.write(f'{args[0]}/a_1.flac', x[:, 0], 44100, subtype='PCM_16')
            soundfile.write(f'{args[0]}/b_2.flac', x[:, :2], 44100, subtype='PCM_24')
            """, folder.path)
        for name in try SampleFolder.list(folder.path) {
            try Python.run(
                """
                import soundfile
                x, rate = soundfile.read(args[0], dtype='float32', always_2d=True)
                x.mean(1, dtype='f4').tofile(args[1])
                """, folder.file(name), folder.file("raw"))
            let sound = try SoundDecoding.decode(path: folder.file(name))
            #expect(sound.rate == (name.hasSuffix("flac") ? 44100 : 22050))
            #expect(try worst(sound.samples, Python.floats(folder.file("raw"))) <= 1e-7, "\(name)")
        }
    }

    @Test("Resampling gives what SciPy's resample_poly gives", arguments: [(44100, 16000), (8000, 16000), (16000, 8000), (22050, 16000), (48000, 44100), (16000, 16000), (3, 2)])
    func resampling(from: Int, to: Int) throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            from scipy import signal
            import math
            a, b = int(args[1]), int(args[2])
            g = math.gcd(a, b)
            x = np.random.default_rng(2).standard_normal(4410).astype('f4')
            x.tofile(args[0] + '/x')
            signal.resample_poly(x.astype('f8'), b // g, a // g).astype('f4').tofile(args[0] + '/y')
            """, folder.path, "\(from)", "\(to)")
        let result = try Resampler(from: from, to: to, place: "x")(Python.floats(folder.file("x")))
        #expect(try worst(result, Python.floats(folder.file("y"))) < 2e-6)
    }

    @Test("A tone stays where it is, and what the new rate cannot hold goes")
    func tone() throws {
        func sine(_ hertz: Double, _ rate: Int) -> [Float] { (0..<rate).map { Float(sin(2 * .pi * hertz * Double($0) / Double(rate))) } }
        let resampler = try Resampler(from: 44100, to: 16000, place: "x")
        let kept = resampler(sine(1000, 44100))
        let expected = Array(sine(1000, 16000)[1000..<15000])
        #expect(kept.count == 16000)
        #expect(worst(Array(kept[1000..<15000]), expected) < 5e-3)
        let gone = resampler(sine(12000, 44100))[1000..<15000].map { abs($0) }.max() ?? 1
        #expect(gone < 5e-3)
        #expect(message { _ = try Resampler(from: 96001, to: 16000, place: "x.wav") }.contains("x.wav: 96001 Hz cannot be resampled to 16000 Hz"))
    }

    /// Formulas of librosa and torchaudio, written down with NumPy in float64.
    private let reference = """
        import json, scipy.fft, scipy.signal
        def features(x, sr, kind, n_fft, hop, win_length=None, window='hann', center=True, padding='reflect', power=2, mels=0, fmin=0, fmax=None, mel_scale='htk', norm='none',
                     log=None, floor=None, offset=0, top_db=None, coefficients=0):
            win_length = win_length or n_fft
            w = np.ones(win_length) if window == 'none' else scipy.signal.get_window(window, win_length, fftbins=True)
            left = (n_fft - win_length) // 2
            w = np.pad(w, (left, n_fft - win_length - left))
            x = np.asarray(x, 'f8')
            if center: x = np.pad(x, n_fft // 2, mode='reflect' if padding == 'reflect' else 'constant')
            frames = np.stack([x[i:i + n_fft] * w for i in range(0, len(x) - n_fft + 1, hop)])
            s = np.abs(np.fft.rfft(frames, axis=1)).T ** power
            if kind == 'stft': out = s
            else:
                def to_mel(f):
                    if mel_scale == 'htk': return 2595 * np.log10(1 + f / 700)
                    return f / (200 / 3) if f < 1000 else 15 + np.log(f / 1000) / (np.log(6.4) / 27)
                def to_hz(m):
                    if mel_scale == 'htk': return 700 * (10 ** (m / 2595) - 1)
                    return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))
                c = to_hz(np.linspace(to_mel(fmin), to_mel(fmax or sr / 2), mels + 2))
                f = np.arange(n_fft // 2 + 1) * sr / n_fft
                d = np.diff(c)
                ramps = c[:, None] - f[None]
                fb = np.maximum(0, np.minimum(-ramps[:-2] / d[:-1, None], ramps[2:] / d[1:, None]))
                if norm == 'slaney': fb = fb * (2 / (c[2:] - c[:-2]))[:, None]
                out = fb @ s
            if kind == 'log-mel' and log is None: log = 'ln'
            if kind == 'mfcc' and log is None: log, top_db = 'db', 80
            if floor is None: floor = 1e-5 if power == 1 else 1e-10
            if log:
                out = np.maximum(floor, out + offset)
                out = np.log(out) if log == 'ln' else np.log10(out) if log == 'log10' else (20 if power == 1 else 10) * np.log10(out)
                if top_db: out = np.maximum(out, out.max() - top_db)
            if kind == 'mfcc': out = scipy.fft.dct(out, axis=0, type=2, norm='ortho')[:coefficients]
            return out

        """

    @Test(
        "Front ends as librosa and torchaudio define them",
        arguments: [
            "kind: stft, n_fft: 256, hop: 100", "kind: stft, n_fft: 256, hop: 100, power: 1, center: false, win_length: 200, window: hamming",
            "kind: stft, n_fft: 255, hop: 64, padding: zeros, window: none, log: log10, offset: 1.0e-3", "kind: mel, n_fft: 512, hop: 160, mels: 40",
            "kind: mel, n_fft: 400, hop: 160, mels: 64, mel_scale: slaney, norm: slaney, fmin: 50, fmax: 7600",
            "kind: log-mel, n_fft: 512, win_length: 400, hop: 160, mels: 40, offset: 1.0e-6",
            "kind: log-mel, n_fft: 400, hop: 160, mels: 32, log: db, top_db: 40, power: 1",
            "kind: log-mel, n_fft: 480, hop: 320, mels: 10, log: log10, floor: 1.0e-5, center: false",
            "kind: mfcc, n_fft: 640, hop: 320, mels: 40, coefficients: 13",
            "kind: mfcc, n_fft: 512, hop: 256, mels: 40, coefficients: 40, log: ln, mel_scale: slaney, norm: slaney",
        ])
    func frontEnds(features: String) throws {
        let folder = try TemporaryFolder()
        let text = "format: audio\npreprocessing: {features: {\(features)}}\nsource: {folder: .}\n"
        let parsed = try #require(try DatasetDeclaration.parse(text, file: "d.yaml").preprocessing.sound.features)
        let shape = try Python.run(
            reference + """
                r = np.random.default_rng(8)
                t = np.arange(8000) / 16000
                x = (0.3 * np.sin(2 * np.pi * 440 * t) + 0.01 * r.standard_normal(8000) + 0.2 * np.sin(2 * np.pi * (100 + 3000 * t) * t)).astype('f4')
                x.tofile(args[0] + '/x')
                def value(text):
                    for kind in (int, float):
                        try: return kind(text)
                        except ValueError: pass
                    return {'true': True, 'false': False}.get(text, text)
                out = features(x, 16000, **{k: value(v) for k, v in (p.split(': ') for p in args[1].split(', '))})
                out.astype('f4').tofile(args[0] + '/y')
                print(*out.shape)
                """, folder.path, features)
        let extraction = try FeatureExtraction(parsed, sampleCount: 8000, rate: 16000, place: "x")
        #expect(shape == "\(extraction.rows) \(extraction.frames)\n")
        var out = [Float](repeating: 0, count: extraction.rows * extraction.frames)
        let transform = try SpectralTransform(length: parsed.transformLength)
        let samples = try Python.floats(folder.file("x"))
        out.withUnsafeMutableBufferPointer { extraction.apply(samples, transform: transform, into: $0.baseAddress!) }
        let expected = try Python.floats(folder.file("y"))
        try #require(out.count == expected.count)
        // Powers to a share of the largest, logarithms and what is made of them to a hundredth.
        let limit = parsed.logarithm == nil ? 2e-6 * (expected.max() ?? 0) : 0.01
        #expect(worst(out, expected) <= limit, "\(worst(out, expected)) of \(limit)")
    }

    private func clips() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, soundfile
            for name, count, rate in [('yes/a.wav', 1600, 16000), ('yes/b.flac', 900, 16000), ('no/c.wav', 4410, 44100), ('no/d.wav', 1001, 8000)]:
                os.makedirs(os.path.dirname(f'{args[0]}/{name}'), exist_ok=True)
                soundfile.write(f'{args[0]}/{name}', np.sin(np.arange(count) / 20) * 0.5, rate, subtype='PCM_16')
            open(args[0] + '/l.csv', 'w').write('path,transcript\\nyes/a.wav,"yes, sir"\\nno/c.wav,no\\n')
            """, folder.path)
        return folder
    }

    private func open(_ folder: TemporaryFolder, _ preprocessing: String, shape: [Int?]?, source: String = "folder: .") throws -> DatasetSplit {
        let yaml = try folder.write("d.yaml", "format: audio\npreprocessing: {\(preprocessing)}\nsource: {\(source)}\nfractions: {validation: 1}\n")
        return try DatasetLoader.open(path: yaml, inputs: [ModelInputDescription(name: "x", type: .float32, shape: shape)]).validation
    }

    @Test("Class folders and tables; resampled, cut in the middle or at the start, filled up with zeros, in the model's shape")
    func clipsOfOneLength() throws {
        let folder = try clips()
        for shape in [[nil, 1600], [nil, 1, 1600], [nil, 1600, 1], [nil, nil, nil], nil] as [[Int?]?] {
            let split = try open(folder, "sample_rate: 16000, seconds: 0.1", shape: shape)
            #expect(split.inputs[0].elementCount == 1600 && split.inputs[0].shape.count == (shape?.count ?? 2) - 1)
            #expect(split.labels == [0, 0, 1, 1])
            let values = try split.prepared(.file).floats()
            #expect(values[4 * 1600 - 1600..<4 * 1600].allSatisfy { $0.isFinite })
            // Folders in text order: no/c, no/d, yes/a, yes/b.
            let b = values[3 * 1600..<4 * 1600]
            #expect(b.dropFirst(900).allSatisfy { $0 == 0 } && b.dropFirst(100).prefix(60).contains { $0 > 0.4 })
        }
        // The model's own length is as good as declared.
        #expect(try open(folder, "sample_rate: 16000", shape: [nil, 800]).inputs[0].shape == [800])
        let a = try SoundDecoding.decode(path: folder.file("yes/a.wav")).samples
        for (cut, start) in [("middle", 400), ("start", 0)] {
            let values = try open(folder, "sample_rate: 16000, seconds: 0.05, cut: \(cut), scale: 2", shape: nil).prepared(.file).floats()
            #expect(Array(values[1600..<2400]) == a[start..<start + 800].map { $0 * 2 })
        }
        let table = try open(folder, "sample_rate: 16000, seconds: 0.1", shape: nil, source: "labels: l.csv")
        #expect(try (0..<2).map { try table.targets?.target($0) } == [.text("yes, sir"), .text("no")])
    }

    @Test("Features lie as the model takes them, transposed where only that fits")
    func orientation() throws {
        let folder = try clips()
        let features = "sample_rate: 16000, seconds: 0.1, features: {kind: log-mel, n_fft: 256, hop: 160, mels: 20}"
        let rows = try open(folder, features, shape: [nil, 1, 20, nil])
        let frames = try open(folder, features, shape: [nil, nil, 20])
        #expect(rows.inputs[0].shape == [1, 20, 11] && frames.inputs[0].shape == [11, 20])
        let (a, b) = (try rows.prepared(.file).floats(), try frames.prepared(.file).floats())
        let transposed = (0..<220).map { (at: Int) -> Float in b[(at % 11) * 20 + at / 11] }
        #expect(Array(a.prefix(220)) == transposed)
        #expect(try rows.contentHash != frames.contentHash)
        #expect(message { _ = try open(folder, features, shape: [nil, 1, 40, 11]) }.contains("features have shape [20, 11], expected [1, 40, 11] for input 'x'"))
    }

    @Test("What is wrong with recordings and front ends is said")
    func errors() throws {
        let folder = try clips()
        let model: [Int?] = [nil, nil]
        func failing(_ preprocessing: String, shape: [Int?]? = nil) -> String {
            message { try open(folder, preprocessing, shape: shape ?? model).prepared(.file).prepareAll() }
        }
        #expect(failing("sample_rate: 16000").contains("no/d.wav: 2002 samples, the first recording has 1600; 'seconds'"))
        #expect(failing("seconds: 0.1, features: {kind: stft, n_fft: 8192, hop: 10}").contains("too short to reflect half of n_fft"))
        #expect(failing("seconds: 0.1, features: {kind: stft, n_fft: 8192, hop: 10, center: false}").contains("shorter than n_fft"))
        for (features, expected) in [
            ("kind: mel, n_fft: 256, hop: 10", "need 'mels'"), ("kind: stft, n_fft: 256, hop: 10, mels: 3", "mels: not of kind stft"),
            ("kind: mfcc, n_fft: 256, hop: 1, mels: 3", "need 'coefficients'"),
            ("kind: stft, n_fft: 256", "needs 'hop'"), ("kind: stft, n_fft: 256, hop: 1, win_length: 257", "win_length: 257 is more than n_fft"),
            ("kind: sft, n_fft: 2, hop: 1", "expected one of stft, mel"),
            ("kind: mel, n_fft: 256, hop: 1, mels: 4, fmin: 300, fmax: 200", "fmax: 200.0 is not above fmin"),
            ("kind: log-mel, n_fft: 256, hop: 1, mels: 4, top_db: 80", "top_db: only with log: db"),
        ] {
            let text = failing("features: {\(features)}")
            #expect(text.contains(expected) && text.contains("d.yaml:2:"), "\(text)")
        }
        let (wav, flac) = (try InputFile.read(folder.file("yes/a.wav")), try InputFile.read(folder.file("yes/b.flac")))
        try folder.write("bad.wav", Array(wav.dropLast(100)))
        #expect(message { _ = try SoundDecoding.decode(path: folder.file("bad.wav")) }.contains("bad.wav: ends after"))
        try folder.write("bad.flac", Array(flac.dropLast(100)))
        #expect(message { _ = try SoundDecoding.decode(path: folder.file("bad.flac")) }.contains("bad.flac: "))
        try folder.write("bad.wav", "hello")
        #expect(message { _ = try SoundDecoding.decode(path: folder.file("bad.wav")) }.contains("bad.wav: not a readable WAV or FLAC file"))
    }
}
