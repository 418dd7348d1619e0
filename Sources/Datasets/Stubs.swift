import EngineSupport

extension DatasetAssembly {
    mutating func audio(folder: String) throws -> any SampleSource { throw EngineError(.data, "audio") }
    mutating func audio(table: String, columns: [String], folder: String?) throws -> any SampleSource { throw EngineError(.data, "audio") }
    mutating func tokens(file: String) throws -> any SampleSource { throw EngineError(.data, "tokens") }
}
