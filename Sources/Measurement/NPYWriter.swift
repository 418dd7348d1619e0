import Foundation
import Metrics

/// Arrays in NumPy's `.npy` format, version 1.0: a magic, a header of 64 · n bytes, then the elements in C order.
enum NPYWriter {
    static func array<T: Numeric>(_ values: [T], type: String, shape: [Int]) -> Data {
        values.withUnsafeBytes { data(Data($0), type: type, shape: shape) }
    }

    private static func data(_ body: Data, type: String, shape: [Int]) -> Data {
        let dims = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
        var header = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(dims)), }"
        header += String(repeating: " ", count: (64 - (10 + header.utf8.count + 1) % 64) % 64) + "\n"
        let length = UInt16(header.utf8.count)
        return Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]) + Data(header.utf8) + body
    }

    /// Labels of a batch as one array; `nil` for none.
    ///
    /// Classes [samples], int64. Numbers and class maps [samples, …], float32 and int32; of unequal length as [samples, longest] filled with NaN and
    /// −100. Texts [samples], of NumPy's `<U`. Boxes [boxes, 8], float32: sample in the batch, class, left, top, right, bottom, area, crowd.
    static func targets(_ targets: [SampleTarget]) -> Data? {
        guard let first = targets.first else { return nil }
        switch first {
        case .label:
            let labels: [Int64] = targets.map { if case .label(let label) = $0 { Int64(label) } else { -1 } }
            return array(labels, type: "<i8", shape: [targets.count])
        case .numbers(_, let shape):
            let rows: [[Float]] = targets.map { if case .numbers(let values, _) = $0 { values } else { [] } }
            return padded(rows, with: .nan, shape: shape, type: "<f4")
        case .classes(_, let shape):
            let rows: [[Int32]] = targets.map { if case .classes(let values, _) = $0 { values } else { [] } }
            return padded(rows, with: -100, shape: shape, type: "<i4")
        case .text:
            let texts: [[UInt32]] = targets.map { if case .text(let text) = $0 { text.unicodeScalars.map(\.value) } else { [] } }
            let longest = max(texts.map(\.count).max() ?? 1, 1)
            let letters: [UInt32] = texts.flatMap { $0 + [UInt32](repeating: 0, count: longest - $0.count) }
            return array(letters, type: "<U\(longest)", shape: [targets.count])
        case .boxes:
            var rows: [Float] = []
            for (sample, target) in targets.enumerated() {
                guard case .boxes(let boxes) = target else { continue }
                for box in boxes { rows += [Float(sample), Float(box.category), box.left, box.top, box.right, box.bottom, box.area, box.isCrowd ? 1 : 0] }
            }
            return array(rows, type: "<f4", shape: [rows.count / 8, 8])
        }
    }

    private static func padded<T: Numeric>(_ rows: [[T]], with filler: T, shape: [Int], type: String) -> Data {
        let longest = rows.map(\.count).max() ?? 0
        let isEven = rows.allSatisfy { $0.count == longest } && shape.reduce(1, *) == longest
        return array(rows.flatMap { $0 + [T](repeating: filler, count: longest - $0.count) }, type: type, shape: [rows.count] + (isEven ? shape : [longest]))
    }
}
