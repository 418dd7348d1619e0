import ModelGraph

/// Least squares with given zeros: for each row w the minimum of wᵀGw − 2cᵀw + λ‖w − w₀‖² over the entries that may differ from
/// zero, by conjugate gradients on all rows at once.
struct RidgeRegression {
    let columns: Int
    /// Symmetric, positive semi-definite, columns × columns.
    let gram: [Double]
    /// Ridge λ: positive.
    let ridge: Double

    /// - Parameters:
    ///   - start: w₀, rows × columns; zeros stay zero.
    ///   - cross: c of every row, rows × columns.
    /// - Returns: the rows' minima.
    func solve(_ start: [Double], cross: [Double], rows: Int, cancellation: Cancellation) throws(EngineError) -> [Double] {
        var weights = start
        let open = start.map { $0 != 0 }
        func multiply(_ vector: [Double]) -> [Double] {
            var product = PositiveDefinite.product(vector, gram, rows: rows, inner: columns, columns: columns)
            for index in product.indices { product[index] = open[index] ? product[index] + ridge * vector[index] : 0 }
            return product
        }
        let scale = (0..<columns).map { 1 / (gram[$0 * columns + $0] + ridge) }
        func dot(_ a: [Double], _ b: [Double], _ row: Int) -> Double {
            (row * columns..<(row + 1) * columns).reduce(0) { $0 + a[$1] * b[$1] }
        }
        let applied = multiply(weights)
        var residual = [Double](repeating: 0, count: weights.count)
        for index in residual.indices where open[index] { residual[index] = cross[index] + ridge * start[index] - applied[index] }
        var preconditioned = residual.indices.map { residual[$0] * scale[$0 % columns] }
        var direction = preconditioned
        var energy = (0..<rows).map { dot(residual, preconditioned, $0) }
        let goal = energy.map { $0 * 1e-16 }
        for _ in 0..<min(4 * columns + 20, 400) where (0..<rows).contains(where: { energy[$0] > goal[$0] }) {
            try cancellation.check()
            let image = multiply(direction)
            for row in 0..<rows where energy[row] > goal[row] {
                let curvature = dot(direction, image, row)
                guard curvature > 0 else {
                    energy[row] = 0
                    continue
                }
                let step = energy[row] / curvature
                for index in row * columns..<(row + 1) * columns {
                    weights[index] += step * direction[index]
                    residual[index] -= step * image[index]
                    preconditioned[index] = residual[index] * scale[index % columns]
                }
                let next = dot(residual, preconditioned, row)
                let turn = next / energy[row]
                for index in row * columns..<(row + 1) * columns { direction[index] = preconditioned[index] + turn * direction[index] }
                energy[row] = next
            }
            // Rows that are done take no further part.
            for row in 0..<rows where energy[row] <= goal[row] { for index in row * columns..<(row + 1) * columns { direction[index] = 0 } }
        }
        return weights
    }
}
