/// Neighboring cells of one row to paint.
public struct CellRun: Hashable, Sendable {
    /// Column of the first cell; never the right half of a wide character.
    public let x: Int
    public let y: Int
    /// The cells, wide characters with their continuations.
    public let cells: [Cell]
}

extension CellGrid {
    /// What must be painted to turn `old` into this grid: all of it when the sizes differ.
    ///
    /// `old.applying(new.changes(from: old)) == new`, and the runs never begin or end inside a wide character.
    public func changes(from old: CellGrid?) -> [CellRun] {
        guard size.width > 0, size.height > 0 else { return [] }
        guard let old, old.size == size else {
            return (0..<size.height).map { CellRun(x: 0, y: $0, cells: row($0, from: 0, to: size.width)) }
        }
        var runs: [CellRun] = []
        for y in 0..<size.height {
            let base = y * size.width
            var x = 0
            while x < size.width {
                if cells[base + x] == old.cells[base + x] {
                    x += 1
                    continue
                }
                var start = x
                while x < size.width, cells[base + x] != old.cells[base + x] { x += 1 }
                if start > 0, cells[base + start].width == 0 { start -= 1 }
                while x < size.width, cells[base + x].width == 0 { x += 1 }
                runs.append(CellRun(x: start, y: y, cells: row(y, from: start, to: x)))
            }
        }
        return runs
    }

    /// This grid with runs laid over it. Runs outside the grid are ignored.
    public func applying(_ runs: [CellRun]) -> CellGrid {
        var result = self
        for run in runs where run.y >= 0 && run.y < size.height && run.x >= 0 && run.x + run.cells.count <= size.width {
            result.overwrite(run)
        }
        return result
    }

    private func row(_ y: Int, from start: Int, to end: Int) -> [Cell] {
        Array(cells[y * size.width + start..<y * size.width + end])
    }
}
