import Testing

@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Techniques
@testable import Training

@Suite struct RankChoiceTests {
    /// facts: SVD of m × n saves only if rank < m·n/(m+n). LeNet-5's first dense layer: 500 × 800, 307 is the last that does.
    @Test func breakEven() {
        #expect(RankChoice.saves(307, rows: 500, columns: 800) && !RankChoice.saves(308, rows: 500, columns: 800))
        #expect(!RankChoice.saves(2, rows: 4, columns: 4) && RankChoice.saves(1, rows: 4, columns: 4))
        #expect(!RankChoice.saves(1, rows: 1, columns: 1000))
    }

    @Test func ratioNeverExceedsItself() {
        for (rows, columns) in [(500, 800), (10, 84), (64, 3 * 49), (3, 1000)] {
            for percent in stride(from: 1, through: 99, by: 7) {
                let ratio = Double(percent) / 100
                let rank = RankChoice(mode: .ratio, ratio: ratio).rank(rows: rows, columns: columns, singularValues: [])
                #expect(rank == 1 || Double(rank * (rows + columns)) <= ratio * Double(rows * columns))
                #expect(Double((rank + 1) * (rows + columns)) > ratio * Double(rows * columns))
            }
        }
    }

    /// Singular values 3, 2, 1 hold 9/14, 13/14 and all of the energy.
    @Test func energyTakesTheFewest() {
        let s: [Float] = [3, 2, 1]
        func rank(_ energy: Double) -> Int { RankChoice(mode: .energy, energy: energy).rank(rows: 3, columns: 5, singularValues: s) }
        #expect(rank(9.0 / 14 - 0.001) == 1 && rank(9.0 / 14 + 0.001) == 2)
        #expect(rank(13.0 / 14 + 0.001) == 3 && rank(1) == 3)
        // A matrix of rank 2 is whole with two.
        #expect(RankChoice(mode: .energy, energy: 1).rank(rows: 3, columns: 5, singularValues: [3, 2, 0]) == 2)
    }

    @Test func rankIsAtLeastOneAndAtMostFull() {
        #expect(RankChoice(mode: .rank, rank: 4096).rank(rows: 8, columns: 20, singularValues: []) == 8)
        #expect(RankChoice(mode: .ratio, ratio: 0.01).rank(rows: 8, columns: 20, singularValues: []) == 1)
    }
}
