import EngineSupport
import LinearAlgebra

/// Least squares with given zeros: for each row w the minimum of wᵀGw − 2cᵀw + λ‖w − w₀‖² over the entries that may differ from
/// zero. Rows with the same zeros share one Cholesky factor; conjugate gradients on all rows at once where factors would cost more.
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
    func solve(_ start: [Double], cross: [Double], rows: Int, cancellation: Cancellation) throws -> [Double] {
        let parts = supports(start, rows: rows)
        // In multiplications. How many iterations there will be is not known: a hundred are usual for few samples.
        let factors = parts.reduce(0.0) { sum, part in
            let size = Double(part.columns.count)
            return sum + size * size * (size / 6 + Double(part.rows.count))
        }
        if factors <= 100 * Double(rows) * Double(columns * columns), let found = try solveDirectly(start, cross: cross, parts, cancellation) { return found }
        return try iterate(start, cross: cross, rows: rows, cancellation: cancellation)
    }

    /// Rows that have the same entries open.
    private struct Support: Sendable {
        var columns: [Int]
        var rows: [Int]
    }

    private func supports(_ start: [Double], rows: Int) -> [Support] {
        var places: [[Int]: Int] = [:]
        var parts: [Support] = []
        for row in 0..<rows {
            let open = (0..<columns).filter { start[row * columns + $0] != 0 }
            guard !open.isEmpty else { continue }
            if let place = places[open] {
                parts[place].rows.append(row)
            } else {
                places[open] = parts.count
                parts.append(Support(columns: open, rows: [row]))
            }
        }
        return parts
    }

    /// - Returns: `nil` if rounding made a matrix indefinite.
    private func solveDirectly(_ start: [Double], cross: [Double], _ parts: [Support], _ cancellation: Cancellation) throws -> [Double]? {
        let found = try Parallel.map(parts) { part -> [Double]? in
            try cancellation.check()
            let open = part.columns
            var matrix = [Double](repeating: 0, count: open.count * open.count)
            for (place, row) in open.enumerated() {
                for (other, column) in open.enumerated() { matrix[place * open.count + other] = gram[row * columns + column] }
                matrix[place * open.count + place] += ridge
            }
            let sides = part.rows.flatMap { row in open.map { cross[row * columns + $0] + ridge * start[row * columns + $0] } }
            return PositiveDefinite.solve(matrix, size: open.count, sides: sides)
        }
        var weights = start
        for (part, values) in zip(parts, found) {
            guard let values else { return nil }
            for (number, row) in part.rows.enumerated() {
                for (place, column) in part.columns.enumerated() { weights[row * columns + column] = values[number * part.columns.count + place] }
            }
        }
        return weights
    }

    private func iterate(_ start: [Double], cross: [Double], rows: Int, cancellation: Cancellation) throws(EngineError) -> [Double] {
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
