import EngineSupport
import Foundation
import Measurement
import ModelGraph

/// The baseline's scores, sample by sample, kept on disk: who opens a model again does not wait for it to be run again.
///
/// Found by everything that scores hang on: the model's content, the samples and the metric, the runtime and the processor. A file that is damaged, or
/// that cannot be written, is no loss.
struct ScoreStore: Sendable {
    struct Kept: Equatable {
        var scores: [Float]
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
    private static let magic: [UInt8] = Array("LSC1".utf8)

    /// - Parameter count: samples of the split.
    func read(_ key: String, count: Int) -> Kept? {
        guard let body = CheckedFile.read(path(key)) else { return nil }
        let header = Self.magic.count + 1
        guard body.count == header + count * 4, Array(body.prefix(Self.magic.count)) == Self.magic else { return nil }
        let scores = (0..<count).map { index in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(body[header + index * 4 + $1]) << (8 * UInt32($1)) })
        }
        // Used now.
        utimes(path(key), nil)
        return Kept(scores: scores, areIndependent: body[Self.magic.count] == 1)
    }

    func write(_ kept: Kept, _ key: String) {
        var body = Self.magic + [kept.areIndependent ? 1 : 0]
        body.reserveCapacity(body.count + kept.scores.count * 4 + 32)
        for score in kept.scores { for byte in 0..<4 { body.append(UInt8(truncatingIfNeeded: score.bitPattern >> (8 * UInt32(byte)))) } }
        CheckedFile.write(Data(body), to: path(key))
        removeOldest()
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
