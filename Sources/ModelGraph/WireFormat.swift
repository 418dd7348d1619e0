import Foundation

/// A walk over protobuf's wire format that goes only where ONNX keeps tensors. It swaps each large payload for a short
/// ticket, so that the protobuf library never sees weights, and swaps the tickets for payloads again on writing.
///
/// Wire format: https://protobuf.dev/programming-guides/encoding/ (tag = field << 3 | type; type 0 varint, 1 eight
/// bytes, 2 length-delimited, 5 four bytes).
enum WireFormat {
    /// The kinds of message that lead to tensors.
    enum Message {
        case model, graph, node, attribute, tensor, sparseTensor, function

        /// The message kind a length-delimited field holds, for fields on the way to a tensor.
        func child(field: UInt64) -> Message? {
            switch (self, field) {
            case (.model, 7): .graph
            case (.model, 25): .function
            case (.graph, 1), (.function, 7): .node
            case (.graph, 5): .tensor
            case (.graph, 15): .sparseTensor
            case (.node, 5): .attribute
            case (.attribute, 5), (.attribute, 10): .tensor
            case (.attribute, 6), (.attribute, 11): .graph
            case (.sparseTensor, 1), (.sparseTensor, 2): .tensor
            default: nil
            }
        }
    }

    /// Field numbers inside TensorProto whose packed bytes are the tensor's little-endian elements.
    static let rawDataField: UInt64 = 9
    static let floatDataField: UInt64 = 4
    static let doubleDataField: UInt64 = 10
    /// `payload_ticket` of onnx.proto, which only ever exists between this walk and the protobuf library.
    static let ticketField: UInt64 = 536_870_001

    /// Nesting beyond any real model; guards the recursion against hostile files.
    static let maximumDepth = 64

    /// A ticket: eight bytes of offset, eight of length.
    static let ticketLength = 16

    /// One field found while walking a message.
    struct Field {
        var number: UInt64
        var type: UInt64
        /// Start of the tag.
        var start: Int
        /// Contents of a length-delimited field; the bytes after the tag otherwise.
        var payload: Range<Int>
    }

    /// Reads the field at `position`.
    static func field(in bytes: UnsafeRawBufferPointer, at position: Int, end: Int) throws(ModelGraphError) -> Field {
        var cursor = position
        let tag = try varint(in: bytes, at: &cursor, end: end)
        let type = tag & 7
        let number = tag >> 3
        guard number > 0 else { throw ModelGraphError(.damaged, "field number 0 at byte \(position)") }
        switch type {
        case 0:
            let start = cursor
            _ = try varint(in: bytes, at: &cursor, end: end)
            return Field(number: number, type: type, start: position, payload: start..<cursor)
        case 1, 5:
            let width = type == 1 ? 8 : 4
            guard end - cursor >= width else { throw truncated(position) }
            return Field(number: number, type: type, start: position, payload: cursor..<(cursor + width))
        case 2:
            let length = try varint(in: bytes, at: &cursor, end: end)
            guard length <= UInt64(end - cursor) else { throw truncated(position) }
            return Field(number: number, type: type, start: position, payload: cursor..<(cursor + Int(length)))
        default:
            throw ModelGraphError(.damaged, "unknown wire type \(type) at byte \(position)")
        }
    }

    /// Contents of the length-delimited fields of a number in a message, as far as it can be read.
    static func payloads(_ number: UInt64, in message: Data) -> [Data] {
        let bytes = [UInt8](message)
        return bytes.withUnsafeBytes { bytes in
            var found: [Data] = []
            var position = 0
            while position < bytes.count, let next = try? field(in: bytes, at: position, end: bytes.count) {
                if next.number == number, next.type == 2 { found.append(Data(bytes[next.payload])) }
                position = next.payload.upperBound
            }
            return found
        }
    }

    private static func truncated(_ position: Int) -> ModelGraphError {
        ModelGraphError(.damaged, "the field at byte \(position) runs past the end of its message")
    }

    private static func varint(in bytes: UnsafeRawBufferPointer, at cursor: inout Int, end: Int) throws(ModelGraphError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        let start = cursor
        while cursor < end {
            let byte = bytes[cursor]
            cursor += 1
            if shift < 64 { value |= UInt64(byte & 0x7F) << shift }
            if byte & 0x80 == 0 { return value }
            shift += 7
            if shift >= 70 { break }
        }
        throw ModelGraphError(.damaged, "the number at byte \(start) does not end")
    }

    static func appendVarint(_ value: UInt64, to out: inout [UInt8]) {
        var value = value
        while value >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        out.append(UInt8(value))
    }

    static func varintLength(_ value: UInt64) -> Int { value == 0 ? 1 : (64 - value.leadingZeroBitCount + 6) / 7 }
}

// MARK: - Reading: payloads to tickets

extension WireFormat {
    /// The message with every tensor payload replaced by a ticket that names its range in `bytes`.
    /// - Throws: `ModelGraphError` naming the byte offset where the file stops being valid.
    static func skeleton(of bytes: UnsafeRawBufferPointer) throws(ModelGraphError) -> [UInt8] {
        var out: [UInt8] = []
        try appendSkeleton(of: .model, bytes: bytes, range: 0..<bytes.count, depth: 0, to: &out)
        return out
    }

    private static func appendSkeleton(
        of message: Message, bytes: UnsafeRawBufferPointer, range: Range<Int>, depth: Int, to out: inout [UInt8]
    ) throws(ModelGraphError) {
        guard depth < maximumDepth else { throw ModelGraphError(.damaged, "nested more than \(maximumDepth) messages deep") }
        // A payload split over several fields is legal and rare: the library joins it.
        var takesPayload = false
        if message == .tensor { takesPayload = try hasSinglePayload(bytes: bytes, range: range) }
        var position = range.lowerBound
        while position < range.upperBound {
            let field = try field(in: bytes, at: position, end: range.upperBound)
            let next = field.payload.upperBound
            if field.type == 2, let child = message.child(field: field.number) {
                var inner: [UInt8] = []
                try appendSkeleton(of: child, bytes: bytes, range: field.payload, depth: depth + 1, to: &inner)
                appendVarint(field.number << 3 | 2, to: &out)
                appendVarint(UInt64(inner.count), to: &out)
                out.append(contentsOf: inner)
            } else if takesPayload, field.type == 2, payloadWidth(field.number) != nil {
                appendVarint(ticketField << 3 | 2, to: &out)
                appendVarint(UInt64(ticketLength), to: &out)
                appendTicket(offset: field.payload.lowerBound, length: field.payload.count, to: &out)
            } else {
                out.append(contentsOf: bytes[field.start..<next])
            }
            position = next
        }
    }

    private static func hasSinglePayload(bytes: UnsafeRawBufferPointer, range: Range<Int>) throws(ModelGraphError) -> Bool {
        var found = 0
        var position = range.lowerBound
        while position < range.upperBound {
            let field = try field(in: bytes, at: position, end: range.upperBound)
            if let width = payloadWidth(field.number) {
                found += field.type == 2 && field.payload.count % width == 0 ? 1 : 2
            }
            position = field.payload.upperBound
        }
        return found == 1
    }

    /// Bytes an element of a payload field has at least, or `nil` for fields left to the library.
    private static func payloadWidth(_ field: UInt64) -> Int? {
        switch field {
        case rawDataField: 1
        case floatDataField: 4
        case doubleDataField: 8
        default: nil
        }
    }

    static func appendTicket(offset: Int, length: Int, to out: inout [UInt8]) {
        withUnsafeBytes(of: UInt64(offset).littleEndian) { out.append(contentsOf: $0) }
        withUnsafeBytes(of: UInt64(length).littleEndian) { out.append(contentsOf: $0) }
    }

    static func ticket(_ bytes: UnsafeRawBufferPointer) -> (offset: Int, length: Int)? {
        guard bytes.count == ticketLength else { return nil }
        return (
            Int(truncatingIfNeeded: bytes.loadUnaligned(as: UInt64.self)),
            Int(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}

// MARK: - Writing: tickets to payloads

extension WireFormat {
    /// What a serialized model is made of, in file order.
    enum Piece {
        case bytes([UInt8])
        case payload(Int)
    }

    /// Splits a serialized skeleton, whose tensors hold tickets, into literal bytes and payload numbers, with every
    /// enclosing length corrected. A ticket's offset is the payload's number and its length the payload's size.
    static func expand(_ skeleton: UnsafeRawBufferPointer) throws(ModelGraphError) -> (pieces: [Piece], byteCount: Int) {
        try expand(.model, bytes: skeleton, range: 0..<skeleton.count)
    }

    private static func expand(
        _ message: Message, bytes: UnsafeRawBufferPointer, range: Range<Int>
    ) throws(ModelGraphError) -> (pieces: [Piece], byteCount: Int) {
        var pieces: [Piece] = []
        var literal: [UInt8] = []
        var total = 0
        func flush() {
            if !literal.isEmpty { pieces.append(.bytes(literal)) }
            total += literal.count
            literal = []
        }
        var position = range.lowerBound
        while position < range.upperBound {
            let field = try field(in: bytes, at: position, end: range.upperBound)
            position = field.payload.upperBound
            if field.type == 2, let child = message.child(field: field.number) {
                let inner = try expand(child, bytes: bytes, range: field.payload)
                appendVarint(field.number << 3 | 2, to: &literal)
                appendVarint(UInt64(inner.byteCount), to: &literal)
                if case .bytes(let only)? = inner.pieces.first, inner.pieces.count == 1 {
                    literal.append(contentsOf: only)
                } else {
                    flush()
                    pieces.append(contentsOf: inner.pieces)
                    total += inner.byteCount
                }
            } else if message == .tensor, field.number == ticketField,
                let ticket = ticket(UnsafeRawBufferPointer(rebasing: bytes[field.payload]))
            {
                appendVarint(rawDataField << 3 | 2, to: &literal)
                appendVarint(UInt64(ticket.length), to: &literal)
                flush()
                pieces.append(.payload(ticket.offset))
                total += ticket.length
            } else {
                literal.append(contentsOf: bytes[field.start..<position])
            }
        }
        flush()
        return (pieces, total)
    }
}
