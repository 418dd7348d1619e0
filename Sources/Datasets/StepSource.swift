import EngineSupport
import Metrics
import ModelGraph

/// Samples that were made in memory: steps of sequences, each with the state that the model had come to.
private struct StepSource: SampleSource {
    let inputs: [SampleInput]
    let memories: [SampleMemory]
    let rowCount: Int
    let targets: Targets?
    let place: String

    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws {
        let width = inputs[input].bytesPerSample
        for (index, row) in rows.enumerated() where width > 0 {
            UnsafeMutableRawBufferPointer(rebasing: out[index * width..<(index + 1) * width]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: memories[input].bytes[row * width..<(row + 1) * width]))
        }
    }

    func combineContent(of rows: [Int], into digest: inout ContentHash) throws {
        for (input, memory) in zip(inputs, memories) {
            let width = input.bytesPerSample
            for row in rows { digest.combine(bytes: UnsafeRawBufferPointer(rebasing: memory.bytes[row * width..<(row + 1) * width])) }
        }
    }

    // Nobody asks: these splits are made of one whose place was checked.
    func location(of rows: Range<Int>) -> SampleLocation { .rows(0..<0, files: []) }
}

extension DatasetSplit {
    /// A split of samples made in memory.
    /// - Parameters:
    ///   - memories: of each input, sample after sample.
    ///   - place: what they were made of, for messages.
    package convenience init(name: SplitName, inputs: [SampleInput], memories: [SampleMemory], count: Int, labels: [Int]?, place: String) {
        let source = StepSource(inputs: inputs, memories: memories, rowCount: count, targets: labels.map { Targets(labels: $0) }, place: place)
        self.init(name: name, source: source, rows: Array(0..<count))
    }

    /// For messages: the file or folder.
    package var place: String { source.place }
}
