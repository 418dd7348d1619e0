extension PackedWeight {
    /// Codes in front of zero points and scales, one to a byte, put together from bit planes; `nil` for planes that do not hold as many.
    package func unpackedCodes(in graph: Graph) -> [UInt8]? {
        let tensors = planes.compactMap { graph.initializers[$0] }
        let widths = BitPlanes.planes(bits: bits)
        let total = codeDims.reduce(1, *)
        guard widths.count == tensors.count, tensors.count == planes.count else { return nil }
        var codes = [UInt8](repeating: 0, count: total)
        for (plane, tensor) in zip(widths, tensors) {
            let bytes = tensor.storage.bytes
            guard bytes.count * (8 / plane.width) >= total, !bytes.isEmpty else { return nil }
            let mask = UInt8((1 << plane.width) - 1)
            for (part, start) in stride(from: 0, to: total, by: bytes.count).enumerated() {
                let (down, up) = (UInt8(part * plane.width), UInt8(plane.shift))
                for index in start..<min(start + bytes.count, total) { codes[index] |= ((bytes[index - start] >> down) & mask) << up }
            }
        }
        return codes
    }
}
