import EngineSupport

extension DatasetAssembly {
    mutating func tokens(file: String) throws -> any SampleSource { throw EngineError(.data, "tokens") }
}
