import Foundation

/// A value that is a sum over samples divided by another: means, shares, errors per character.
public struct SampleRatio: PooledStatistic {
    /// What becomes of the quotient.
    public enum Form: Sendable, Hashable {
        case plain
        /// Its root.
        case root
        /// e to the power of it.
        case exponential
    }

    /// Of each sample.
    public let numerators: [Double]
    public let denominators: [Double]
    public let form: Form
    /// Whether every sample is right or wrong (or does not count: denominator 0), so that the value is a proportion.
    public let isProportion: Bool

    public init(numerators: [Double], denominators: [Double], form: Form = .plain, isProportion: Bool = false) {
        self.numerators = numerators
        self.denominators = denominators
        self.form = form
        self.isProportion = isProportion
    }

    /// Of contributions whose first number is the numerator and whose second, if there, the denominator.
    init(_ contributions: [[Double]], form: Form = .plain, isMean: Bool = false, isProportion: Bool = false) {
        self.init(numerators: contributions.map { $0.at(0) }, denominators: contributions.map { isMean ? 1 : $0.at(1) }, form: form, isProportion: isProportion)
    }

    public var samples: Int { numerators.count }
    public var ratio: SampleRatio? { self }

    public func value(counts: [Int32]?) -> Double {
        var (above, below) = (0.0, 0.0)
        if let counts {
            for index in 0..<min(counts.count, numerators.count) where counts[index] > 0 {
                above += Double(counts[index]) * numerators[index]
                below += Double(counts[index]) * denominators[index]
            }
        } else {
            for index in numerators.indices {
                above += numerators[index]
                below += denominators[index]
            }
        }
        return below != 0 ? Self.formed(above / below, form) : .nan
    }

    static func formed(_ quotient: Double, _ form: Form) -> Double {
        switch form {
        case .plain: quotient
        case .root: quotient.squareRoot()
        case .exponential: exp(quotient)
        }
    }
}
