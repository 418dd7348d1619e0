import Foundation

/// 97.5 % quantile of Student's t distribution.
enum StudentQuantile {
    /// The normal distribution's.
    static let z = 1.959963984540054

    private static let table = [
        12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851, 2.364624252, 2.306004135, 2.262157163, 2.228138852,
    ]

    /// Expansion in 1/ν of Abramowitz and Stegun 26.7.5, exact to 1e-6 from 11 degrees on; below from tables.
    static func t975(_ degrees: Int) -> Double {
        if degrees < 1 { return .infinity }
        if degrees <= table.count { return table[degrees - 1] }
        let v = Double(degrees)
        let (z3, z5, z7) = (pow(z, 3), pow(z, 5), pow(z, 7))
        let (first, second) = ((z3 + z) / 4, (5 * z5 + 16 * z3 + 3 * z) / 96)
        let third = (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384
        let fourth = (79 * pow(z, 9) + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / 92160
        return z + first / v + second / (v * v) + third / (v * v * v) + fourth / (v * v * v * v)
    }
}
