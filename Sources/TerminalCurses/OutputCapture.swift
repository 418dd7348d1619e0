import CTerminalGuard

/// What libraries write to standard output and error while the terminal is in use: kept off the screen, readable as lines.
struct OutputCapture {
    private var offset: Int64 = 0
    /// Bytes behind the last line break.
    private var partial: [UInt8] = []

    /// The lines completed since the last call. Control characters (colors, mostly) are left out.
    mutating func newLines() -> [String] {
        var lines: [String] = []
        var buffer = [CChar](repeating: 0, count: 4096)
        while true {
            let count = lathe_guard_read_captured(offset, &buffer, buffer.count)
            guard count > 0 else { return lines }
            offset += Int64(count)
            for byte in buffer[..<count] {
                let byte = UInt8(bitPattern: byte)
                if byte == UInt8(ascii: "\n") {
                    lines.append(Self.clean(partial))
                    partial.removeAll()
                } else {
                    partial.append(byte)
                }
            }
        }
    }

    /// What is left without a line break at the end.
    mutating func rest() -> String? {
        defer { partial.removeAll() }
        return partial.isEmpty ? nil : Self.clean(partial)
    }

    private static func clean(_ bytes: [UInt8]) -> String {
        var text = String.UnicodeScalarView()
        var isEscape = false
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if isEscape {
                // ESC [ parameters letter
                if scalar != "[", (0x40...0x7E).contains(scalar.value) { isEscape = false }
            } else if scalar.value == 0x1B {
                isEscape = true
            } else if scalar == "\t" {
                text.append(" ")
            } else if scalar.value >= 0x20, scalar.value != 0x7F {
                text.append(scalar)
            }
        }
        return String(text)
    }
}
