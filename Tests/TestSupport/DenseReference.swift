/// Matrix products as their definition has them, in double precision. Here and not in the tests, which are built without optimization.
package enum DenseReference {
    /// A·B or, with A given as inner × rows, Aᵀ·B. Row-major.
    package static func product(_ a: [Double], _ b: [Double], rows: Int, inner: Int, columns: Int, transposedA: Bool = false) -> [Double] {
        var result = [Double](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            for index in 0..<inner {
                let factor = transposedA ? a[index * rows + row] : a[row * inner + index]
                for column in 0..<columns { result[row * columns + column] += factor * b[index * columns + column] }
            }
        }
        return result
    }

    /// The mean of x·xᵀ over the rows of `values`, columns × columns.
    package static func gram(_ values: [Float], columns: Int) -> [Float] {
        let rows = values.count / columns
        let doubles = values.map(Double.init)
        return product(doubles, doubles, rows: columns, inner: rows, columns: columns, transposedA: true).map { Float($0 / Double(rows)) }
    }
}
