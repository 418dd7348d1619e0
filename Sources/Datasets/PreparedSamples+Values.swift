extension PreparedSamples {
    /// The numbers of one input of the sample at a position, whatever their type.
    /// - Throws: `EngineError` naming the file if one is damaged.
    public func values(at position: Int, input: Int) throws -> [Float] {
        let sample = inputs[input]
        return try withUnsafeBytes(position..<position + 1, input: input) { bytes in
            [Float](unsafeUninitializedCapacity: sample.elementCount) { memory, initialized in
                if let from = bytes.baseAddress, let to = memory.baseAddress {
                    ElementConversion.affine(from, type: sample.type, count: sample.elementCount, step: 1, scale: 1, mean: 0, std: 1, into: to)
                }
                initialized = sample.elementCount
            }
        }
    }
}
