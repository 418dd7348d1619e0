import EngineSupport
import Metrics
import Testing

@testable import CompressionEngine

@Suite struct WidthAssignmentTests {
    /// A chain of layers whose cost is a product of two widths each, against all assignments.
    @Test(arguments: 0..<30)
    func noAssignmentIsBetter(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let (units, options) = (5, 4)
        let raw: [[Double?]] = (0..<units).map { _ in
            var sum = 0.0
            return (0..<options).map { _ in
                sum += Double.random(in: 0...1, using: &generator)
                return sum
            }
        }
        let sizes = (0...units).map { _ in Double.random(in: 1...10, using: &generator) }
        func cost(_ chosen: [Int]) -> Double {
            var (sum, before) = (0.0, 1.0)
            for layer in 0...units {
                let width: Double = layer < units ? 1 - 0.2 * Double(chosen[layer]) : 1
                sum += sizes[layer] * width * before
                before = width
            }
            return sum
        }
        let shares = [0.8, 0.5, 0.3]
        let limit = cost([Int](repeating: 0, count: units)) * shares[seed % 3]
        let problem = WidthAssignment(raw: raw) { max(0, cost($0) - limit) }
        var best = Double.infinity
        for code in 0..<3125 {
            var (rest, loss) = (code, 0.0)
            var chosen: [Int] = []
            for unit in 0..<units {
                chosen.append(rest % 5)
                loss += problem.losses[unit][rest % 5]
                rest /= 5
            }
            if cost(chosen) <= limit { best = min(best, loss) }
        }
        guard let answer = problem.solve() else {
            #expect(best == .infinity)
            return
        }
        #expect(answer.isProven && cost(answer.options) <= limit && abs(answer.loss - best) < 1e-9, "\(answer.loss) instead of \(best)")
    }

    @Test func whatCannotBeMetIsSaid() {
        #expect(WidthAssignment(raw: [[0.1, 0.2], [nil, 0.3]]) { 10 - Double($0.reduce(0, +)) }.solve() == nil)
        // Noise that makes a stronger option lose less is evened out; what failed is never chosen.
        let answer = WidthAssignment(raw: [[0.5, 0.1], [nil, 0.3]]) { max(0, 2 - Double($0.reduce(0, +))) }.solve()
        #expect(answer?.options == [0, 2] && answer?.loss == 0.3)
    }

    @Test func sizesAloneMeanTheLeastLoss() throws {
        #expect(try SearchGoal("macs <= 50%", metric: .top1).forArchitecture.objectives == [.top1])
        #expect(try SearchGoal("macs <= 50%, drop <= 1", metric: .top1).forArchitecture.objectives == [.macs])
        let request = try SearchRequest("macs <= 50%, with architecture, with training", metric: .top1)
        #expect(request.architecture == .score && request.mayTrain && request.goal.objectives == [.top1])
        #expect(try SearchRequest("macs <= 50%, minimize file, with architecture", metric: .top1).goal.objectives == [.file])
    }

    /// What there was no time to score lies between its neighbors; beyond the largest cut that was scored nothing is known.
    @Test func unscoredWidthsLieBetween() {
        let row: [Double?] = [nil, 0.02, nil, 0.06, nil, nil]
        #expect(Search.filled(row, [false, true, false, true, false, false]).map { $0.map { ($0 * 1000).rounded() } } == [10, 20, 40, 60, nil, nil])
        // An option that fails stays out.
        #expect(Search.filled([nil, nil, 0.03], [false, true, true])[1] == nil)
    }
}
