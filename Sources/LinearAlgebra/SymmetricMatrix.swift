/// Symmetric matrices of which BLAS has filled one triangle.
package enum SymmetricMatrix {
    /// Scales the lower triangle in row-major order (the upper in column-major order) and mirrors it.
    /// - Parameters:
    ///   - size: rows and columns.
    ///   - offset: first element of the matrix.
    @inlinable
    package static func complete<Scalar: BinaryFloatingPoint>(_ values: inout [Scalar], size: Int, at offset: Int = 0, scale: Scalar = 1) {
        values.withUnsafeMutableBufferPointer { values in
            guard let matrix = values.baseAddress.map({ $0 + offset }) else { return }
            let tile = 32
            for rowStart in stride(from: 0, to: size, by: tile) {
                for columnStart in stride(from: 0, through: rowStart, by: tile) {
                    for row in rowStart..<min(rowStart + tile, size) {
                        for column in columnStart..<min(columnStart + tile, row + 1) {
                            let value = matrix[row * size + column] * scale
                            matrix[row * size + column] = value
                            matrix[column * size + row] = value
                        }
                    }
                }
            }
        }
    }
}
