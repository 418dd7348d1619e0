/// Names of layers without what they all share, so that rows of a narrow table differ: of `/model.0/conv/Conv`, `/model.2/cv1/conv/Conv` are left
/// `…0`, `…2/cv1`.
public struct LayerNames: Sendable {
    private let short: [String: String]

    public init(_ names: [String] = []) {
        var short: [String: String] = [:]
        let (prefix, suffix) = Self.shared(names)
        if prefix + suffix >= 4 {
            for name in names { short[name] = (prefix > 0 ? "…" : "") + String(name.dropFirst(prefix).dropLast(suffix)) }
            // Two names that become one are worse than two long ones.
            if Set(short.values).count < Set(names).count || short.values.contains(where: { $0.count < 2 }) { short = [:] }
        }
        self.short = short
    }

    /// - Parameter isASCII: with two dots where others have the one character.
    public func callAsFunction(_ name: String, isASCII: Bool = false) -> String {
        guard let found = short[name] else { return name }
        return isASCII && found.hasPrefix("…") ? ".." + found.dropFirst() : found
    }

    /// Characters that all names begin and end with, whole parts only.
    private static func shared(_ names: [String]) -> (prefix: Int, suffix: Int) {
        guard names.count > 2, let first = names.first.map(Array.init) else { return (0, 0) }
        func isSeparator(_ character: Character) -> Bool { "/._:".contains(character) }
        var (prefix, suffix) = (first.count, first.count)
        for name in names.dropFirst().map(Array.init) {
            prefix = min(prefix, zip(first, name).prefix { $0 == $1 }.count)
            suffix = min(suffix, zip(first.reversed(), name.reversed()).prefix { $0 == $1 }.count)
        }
        while prefix > 0, !isSeparator(first[prefix - 1]) { prefix -= 1 }
        while suffix > 0, !isSeparator(first[first.count - suffix]) { suffix -= 1 }
        // Something of the shortest name has to be left.
        let shortest = names.map(\.count).min() ?? 0
        return prefix + suffix < shortest ? (prefix, suffix) : (prefix < shortest ? prefix : 0, 0)
    }
}
