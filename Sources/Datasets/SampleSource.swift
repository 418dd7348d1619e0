import EngineSupport
import ModelGraph
import Synchronization

/// Rows of samples in files, prepared on demand. One source may serve several splits.
protocol SampleSource: Sendable {
    /// What it delivers after preprocessing, in the model's order of inputs.
    var inputs: [SampleInput] { get }
    var rowCount: Int { get }
    /// What is right for each row; `nil` if the files do not say.
    var targets: Targets? { get }
    /// For messages: the file or folder.
    var place: String { get }
    /// For messages: the sample of a row.
    func place(of row: Int) -> String

    /// Writes the prepared samples of `rows` one after the other. Safe from several threads at once.
    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws

    /// Mixes in everything that decides the prepared samples of `rows`: raw content and preprocessing.
    func combineContent(of rows: [Int], into digest: inout ContentHash) throws

    /// Where these rows lie on disk, to prove that splits do not overlap.
    func location(of rows: Range<Int>) -> SampleLocation
}

extension SampleSource {
    /// Class of each row; `nil` if the files have none.
    var labels: [Int]? { targets?.labels }

    func place(of row: Int) -> String { "\(place): row \(row)" }
}

/// Where samples lie on disk.
enum SampleLocation: Sendable {
    /// Consecutive rows of files that hold many samples.
    case rows(Range<Int>, files: Set<FileIdentity>)
    /// Files of one sample each.
    case files(Set<FileIdentity>)

    func overlaps(_ other: SampleLocation) -> Bool {
        switch (self, other) {
        case (.rows(let rows, let files), .rows(let otherRows, let otherFiles)): rows.overlaps(otherRows) && !files.isDisjoint(with: otherFiles)
        case (.files(let files), .files(let otherFiles)): !files.isDisjoint(with: otherFiles)
        default: false
        }
    }
}

/// Something computed at first use, once, whoever asks. Failures are remembered too.
final class Lazily<Value: Sendable>: Sendable {
    private let state = Mutex<Result<Value, any Error>?>(nil)
    private let compute: @Sendable () throws -> Value

    init(_ compute: @escaping @Sendable () throws -> Value) { self.compute = compute }

    var value: Value {
        get throws {
            try state.withLock { state in
                if let state { return state }
                let result = Result { try compute() }
                state = result
                return result
            }.get()
        }
    }
}

/// Arrays whose first dimension counts rows: IDX, NPZ and CSV.
struct ArraySource: SampleSource {
    struct Column: Sendable {
        var preparation: ArrayPreparation
        var array: Lazily<RawArray>
        var file: FileIdentity
    }

    let columns: [Column]
    let rowCount: Int
    let targets: Targets?
    let place: String
    let preprocessing: Preprocessing

    var inputs: [SampleInput] { columns.map(\.preparation.input) }

    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws {
        let column = columns[input]
        try column.preparation.prepare(rows, of: column.array.value, into: out)
    }

    func combineContent(of rows: [Int], into digest: inout ContentHash) throws {
        digest.combine(preprocessing.canonicalText)
        for column in columns {
            let array = try column.array.value
            digest.combine("\(array.type) \(array.rowShape)")
            for row in rows { digest.combine(bytes: array.row(row)) }
        }
    }

    func location(of rows: Range<Int>) -> SampleLocation { .rows(rows, files: Set(columns.map(\.file))) }
}
