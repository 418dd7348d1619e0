import EngineSupport
import Foundation
import ModelGraph

/// A file that was written and that the runtime at hand does not load: it does not stand under the name asked for.
public struct RefusedModel: Error, Sendable, CustomStringConvertible {
    /// One line for the user.
    public let message: String
    public var description: String { message }
}

/// What became of writing a model.
public struct WrittenModel: Sendable {
    /// Bytes of its files.
    public var byteCount: Int
    /// One line each: that it is two files, or that it could not be tried.
    public var remarks: [String] = []
}

extension EngineSession {
    /// Writes a model, loads what was written as a deployment would, compares what it takes and gives with the baseline, and puts it into its place.
    ///
    /// A model beyond protobuf's limit is two files: the second, with the weights, is named after the first, with `.data` behind it.
    /// - Parameters:
    ///   - check: whether to load it.
    ///   - externalData: whether a smaller model is two files as well.
    /// - Throws: `RefusedModel` where the runtime refuses the file, which is then kept under another name; `ModelGraphError` if it cannot be written.
    public func write(_ model: Model, to path: String, check: Bool = true, externalData: Bool = false, cancellation: Cancellation = Cancellation()) throws
        -> WrittenModel
    {
        let serialized = try model.serialized()
        let isBeyondLimit = serialized.byteCount >= ModelWithExternalData.limit
        let isLarge = isBeyondLimit || externalData
        if try OutputPlace(path) != .file {
            guard !isLarge else {
                throw EngineError(.model, "\(path): not a regular file, and the model is two files" + (isBeyondLimit ? ", since it is beyond protobuf's 2 GiB" : ""))
            }
            try serialized.write(to: path)
            return WrittenModel(byteCount: serialized.byteCount)
        }
        let name = (path as NSString).lastPathComponent
        let weights = name + ".data"
        let replaced = FileIdentity(path: path + ".data")
        if isLarge, replaced != nil, let source = self.model.sources.first(where: { FileIdentity(path: $0.path) == replaced }) {
            throw EngineError(.model, "\(path).data: would replace \(source.path), which the model is read from")
        }
        // In a folder of its own beside its place, where the graph's file finds that of its weights.
        let staging = AtomicFile.stagingPath(for: path)
        guard mkdir(staging, 0o755) == 0 || errno == EEXIST else { throw ModelGraphError(.file, "\(path): cannot be written: \(String(cString: strerror(errno)))") }
        defer { for file in [name, weights, ""] { remove("\(staging)/\(file)") } }
        let staged = "\(staging)/\(name)"
        var written = WrittenModel(byteCount: serialized.byteCount)
        do {
            if isLarge {
                let pair = try ModelWithExternalData(model, fileName: weights)
                try pair.writeWeights(to: "\(staging)/\(weights)")
                try pair.graph.write(to: staged)
                written.byteCount = pair.graph.byteCount + pair.weightByteCount
                written.remarks.append((isBeyondLimit ? "the model is beyond protobuf's 2 GiB: " : "") + "its weights are in \(path).data, which goes with it")
            } else {
                try serialized.write(to: staged)
            }
        } catch let error as ModelGraphError {
            throw ModelGraphError(error.kind, error.message.replacing("\(staging)/\(weights)", with: path + ".data").replacing(staged, with: path))
        }
        if check, let problem = try problem(staged, byteCount: written.byteCount, remarks: &written.remarks, cancellation: cancellation) {
            let kept = isLarge ? path + ".refused" : Self.refusedName(path)
            _ = rename(isLarge ? staging : staged, kept)
            throw RefusedModel(message: "\(path): not written, because the result cannot be used: \(problem) (it is kept as \(kept))")
        }
        try cancellation.check()
        for (from, to) in (isLarge ? [("\(staging)/\(weights)", path + ".data")] : []) + [(staged, path)] {
            guard rename(from, to) == 0 else { throw ModelGraphError(.file, "\(to): cannot be renamed into place: \(String(cString: strerror(errno)))") }
        }
        return written
    }

    /// Why a written file is of no use; `nil` if it loads, or if that cannot be found out.
    private func problem(_ path: String, byteCount: Int, remarks: inout [String], cancellation: Cancellation) throws -> String? {
        guard let runtime else {
            remarks.append("not tried in ONNX Runtime, which is missing")
            return nil
        }
        let shapes = shapeProbes.inputShapes()
        let answer = try LoadCheck.answer(path, byteCount: byteCount, runtime: runtime, shapes: shapes, cancellation: cancellation)
        let declared = LoadCheck.Contract(inputs: model.graph.requiredInputs.map(LoadCheck.Contract.Value.init), outputs: model.graph.outputs.map(LoadCheck.Contract.Value.init))
        if case .loads(let contract) = answer, contract.failure == nil, contract.difference(from: declared) == nil { return nil }
        // What the runtime does not take to begin with, or takes otherwise than the file declares, is not the result's fault.
        if case .unknown(let why) = answer {
            remarks.append("not tried to the end: \(why)")
            return nil
        }
        switch (answer, try LoadCheck.answer(info.modelPath, byteCount: info.fileBytes, runtime: runtime, shapes: shapes, cancellation: cancellation)) {
        case (_, .refused(let before)), (_, .unknown(let before)):
            remarks.append("not tried in ONNX Runtime, which does not load the model itself: \(before)")
            return nil
        case (.loads(let contract), .loads(let before)):
            // Where the model itself does not run on zeros, nothing follows from it.
            if let failure = contract.failure, before.failure == nil { return "ONNX Runtime loads it but cannot run it: \(failure)" }
            return contract.difference(from: before)
        case (.refused(let reason), .loads): return reason
        case (.unknown, _): return nil
        }
    }

    private static func refusedName(_ path: String) -> String {
        path.hasSuffix(".onnx") ? String(path.dropLast(5)) + ".refused.onnx" : path + ".refused"
    }

    /// Files of the model that are not what they were when it was opened. Everything shown is of the model as it was opened.
    public var changedSources: [String] { model.sources.filter { !$0.isCurrent }.map(\.path) }

    /// - Throws: `EngineError` if a file that is too large to be held in memory was rewritten: what was just computed may be of either.
    func requireUnchangedSources() throws {
        guard let path = model.sources.first(where: { $0.isMapped && !$0.isCurrent })?.path else { return }
        throw EngineError(.model, "\(path): changed since it was opened; open it again")
    }
}
