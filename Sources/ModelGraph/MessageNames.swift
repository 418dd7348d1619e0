import Foundation

// Names in messages come out of files that nobody vetted and can be of any length. A message stays a line.

extension String {
    /// A name for a message: of a long one the middle is left out.
    package var shortened: String { cut(to: 80).oneLine }

    private func cut(to limit: Int) -> String { count <= limit ? self : "\(prefix(limit * 5 / 8))…\(suffix(limit - limit * 5 / 8 - 1))" }

    /// A message in which long names are cut: what stands in quotes, and words. Paths stay whole.
    /// - Parameter whole: what else stays, such as what the user typed.
    package func namesShortened(keeping whole: [String] = []) -> String {
        guard utf8.count > Self.longName else { return self }
        // What stays whole is a single character meanwhile.
        var (text, kept) = (self, [Character: String]())
        for part in whole.filter({ $0.count > Self.longName }).sorted(by: { $0.count > $1.count }) {
            guard let mark = Unicode.Scalar(0xF0000 + UInt32(kept.count)).map(Character.init), text.contains(part) else { continue }
            kept[mark] = part
            text = text.replacing(part, with: String(mark))
        }
        let words = text.quotedNamesCut.split(separator: " ", omittingEmptySubsequences: false).map { word in
            word.count > Self.longName && !String(word).isPath ? String(word).cut(to: Self.longName) : String(word)
        }
        let line = words.joined(separator: " ").cut(to: Self.longLine)
        return kept.isEmpty ? line : line.reduce(into: "") { $0 += kept[$1] ?? String($1) }
    }

    /// Whether the text leads to a file, or would if there were one: names in graphs are made of slashes as well, but not of folders.
    private var isPath: Bool {
        guard count <= 1024 else { return false }
        let path = hasSuffix(":") || hasSuffix(";") ? String(dropLast()) : self
        let top = path.split(separator: "/").first.map { "/" + $0 } ?? path
        return FileManager.default.fileExists(atPath: path) || path.hasPrefix("/") && FileManager.default.fileExists(atPath: top)
    }

    private static let longName = 80
    /// Longer than any message that is not made of names.
    private static let longLine = 900

    /// What stands between a quote at the beginning of a word and the next at the end of one.
    private var quotedNamesCut: String {
        var (result, rest) = ("", self[...])
        while let open = rest.firstIndex(of: "'") {
            let before = result.last ?? " "
            let previous = open > rest.startIndex ? rest[rest.index(before: open)] : before
            result += rest[...open]
            rest = rest[rest.index(after: open)...]
            guard !previous.isLetter, !previous.isNumber else { continue }
            var close = rest.startIndex
            while close < rest.endIndex {
                let after = rest.index(after: close)
                if rest[close] == "'", after == rest.endIndex || " ,;:.)]".contains(rest[after]) { break }
                close = after
            }
            guard close < rest.endIndex else { continue }
            result += String(rest[..<close]).cut(to: Self.longName) + "'"
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }
}
