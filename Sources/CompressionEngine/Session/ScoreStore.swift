import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph

/// The baseline's scores, sample by sample, kept on disk: who opens a model again does not wait for it to be run again.
///
/// Found by everything that scores hang on: the model's content, the samples and the metric, the runtime and the processor. A file that is damaged, or
/// that cannot be written, is no loss.
struct ScoreStore: Sendable {
    struct Kept: Equatable {
        var scores: SampleScores
        /// Whether a sample's output does not depend on who else is in its batch.
        var areIndependent: Bool
    }

    private let folder: String
    /// Files kept at most; those not used for longest go first.
    private let most: Int

    init(folder: String = StateFolder.path("scores"), most: Int = 200) {
        self.folder = folder
        self.most = most
    }

    /// - Parameters:
    ///   - samples: identifies samples, labels and metric.
    ///   - runtime: version and build of the runtime.
    static func key(model: Model, samples: String, runtime: String, machine: String = Machine.name) -> String {
        var hash = model.contentHash
        hash.combine("\(samples)\n\(runtime)\n\(machine)")
        return hash.description
    }

    private func path(_ key: String) -> String { "\(folder)/\(key).scores" }

    /// The first four bytes of a file: a name and a version.
    private static let magic: [UInt8] = Array("LSC2".utf8)

    /// - Parameter count: samples of the split.
    func read(_ key: String, count: Int, metric: MetricKind) -> Kept? {
        guard let body = CheckedFile.read(path(key)) else { return nil }
        var reader = Reader(bytes: body, at: Self.magic.count + 1)
        guard body.count > reader.at, Array(body.prefix(Self.magic.count)) == Self.magic, let scores = reader.floats(), scores.count == count,
            let answers = reader.floats(), answers.isEmpty || answers.count == count, let lengths = reader.floats(), lengths.isEmpty || lengths.count == count
        else { return nil }
        var contributions: [[Double]] = []
        for length in lengths {
            guard length >= 0, length < 16_777_216, let values = reader.doubles(Int(length)) else { return nil }
            contributions.append(values)
        }
        guard reader.at == body.count else { return nil }
        // Used now.
        utimes(path(key), nil)
        return Kept(scores: SampleScores(scores: scores, contributions: contributions, answers: answers, metric: metric), areIndependent: body[Self.magic.count] == 1)
    }

    func write(_ kept: Kept, _ key: String) {
        var body = Self.magic + [kept.areIndependent ? 1 : 0]
        func append(_ floats: [Float]) {
            withUnsafeBytes(of: UInt64(floats.count).littleEndian) { body += $0 }
            floats.withUnsafeBytes { body += $0 }
        }
        append(kept.scores.scores)
        append(kept.scores.answers)
        append(kept.scores.contributions.map { Float($0.count) })
        for values in kept.scores.contributions { values.withUnsafeBytes { body += $0 } }
        // Contributions of detectors are many; what takes long to read is no gain.
        guard body.count < 64 << 20, kept.scores.contributions.allSatisfy({ $0.count < 1 << 24 }) else { return }
        CheckedFile.write(Data(body), to: path(key))
        removeOldest()
    }

    /// Numbers in the order and form of `write`.
    private struct Reader {
        let bytes: Data
        var at: Int

        mutating func floats() -> [Float]? {
            guard let count = values(1, of: UInt64.self)?.first, count <= UInt64(bytes.count) else { return nil }
            return values(Int(count), of: Float.self)
        }

        mutating func doubles(_ count: Int) -> [Double]? { values(count, of: Double.self) }

        private mutating func values<T: BitwiseCopyable>(_ count: Int, of: T.Type) -> [T]? {
            let size = count * MemoryLayout<T>.stride
            guard count >= 0, size <= bytes.count - at else { return nil }
            defer { at += size }
            return bytes.withUnsafeBytes { raw in (0..<count).map { raw.loadUnaligned(fromByteOffset: at + $0 * MemoryLayout<T>.stride, as: T.self) } }
        }
    }

    private func removeOldest() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.filter { $0.hasSuffix(".scores") } ?? []
        guard names.count > most else { return }
        let dated = names.map { name in
            (name: name, date: (try? FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)"))?[.modificationDate] as? Date ?? .distantPast)
        }
        for entry in dated.sorted(by: { $0.date < $1.date }).prefix(names.count - most) { unlink("\(folder)/\(entry.name)") }
    }
}
