import Foundation
import Testing

@testable import OnnxRuntime

@Suite struct ValueTests {
    @Test func everyNumericTypeReadsAsNumpyReadsIt() throws {
        let names = try Oracle.strings("types.json")
        #expect(names.count == 14)
        let x = try Value(Oracle.floats("types.x"), shape: [7], library: testLibrary())
        let values = try session("types.onnx").run(inputs: [("x", x)], outputs: names)
        for (name, value) in zip(names, values) {
            let expected = try Oracle.floats("types.\(name)")
            #expect(value.elementType == Value.ElementType.allCases.first { "\($0)" == name })
            #expect(bits(try value.floats()) == bits(expected), "\(name)")
            #expect(try value.doubles().map { Float($0) } == expected, "\(name)")
            if !["double", "float16", "bfloat16"].contains(name) {
                #expect(try value.integers().map { Float($0) } == expected, "\(name)")
            } else {
                #expect(failure { try value.integers() } != nil)
            }
        }
    }

    @Test func signedNibblesKeepTheirSign() throws {
        let x = try Value([-3, -1, 0, 7, -8] as [Float], shape: [5], library: testLibrary())
        let value = try session("int4.onnx").run(inputs: [("x", x)])[0]
        #expect(value.byteCount == 3)
        #expect(try value.integers() == [-3, -1, 0, 7, -8])
    }

    /// Bytes per element by the ONNX specification; narrow types packed.
    @Test func sizes() {
        let bytesOfFive: [Value.ElementType: Int] = [
            .float: 20, .uint8: 5, .int8: 5, .uint16: 10, .int16: 10, .int32: 20, .int64: 40, .bool: 5, .float16: 10,
            .double: 40, .uint32: 20, .uint64: 40, .complex64: 40, .complex128: 80, .bfloat16: 10, .float8e4m3fn: 5,
            .float8e4m3fnuz: 5, .float8e5m2: 5, .float8e5m2fnuz: 5, .uint4: 3, .int4: 3, .float4e2m1: 3, .uint2: 2,
            .int2: 2, .float8e8m0: 5,
        ]
        for type in Value.ElementType.allCases {
            #expect(type.byteCount(elements: 5) == bytesOfFive[type], "\(type)")
            #expect(Value.ElementType(onnxDataType: type.onnxDataType) == type)
        }
        #expect(Value.ElementType.float.byteCount(elements: .max) == nil)
        #expect(Value.ElementType.int4.byteCount(elements: .max) == .max / 2 + 1)
        #expect(Value.ElementType.float.byteCount(elements: -1) == nil)
        // onnx.proto: UNDEFINED 0, INT2 26.
        #expect(Value.ElementType(onnxDataType: 0) == nil)
        #expect(Value.ElementType(onnxDataType: 26) == .int2)
        #expect(Value.ElementType(onnxDataType: 99) == nil)
    }

    @Test func elementsComeBackAsTheyWentIn() throws {
        let library = try testLibrary()
        let integers: [Int32] = [.min, -1, 0, 1, .max, 7]
        let value = try Value(integers, shape: [2, 3], library: library)
        #expect(try value.array(of: Int32.self) == integers)
        #expect(failure { try value.array(of: Float.self) } != nil)
        #expect(try Value([true, false], shape: [2], library: library).integers() == [1, 0])
        #expect(try Value([UInt64.max], shape: [1], library: library).doubles() == [1.8446744073709552e19])
        #expect(failure { try Value([UInt64.max], shape: [1], library: library).integers() } != nil)
        #expect(try Value(bytes: [1, 0, 2, 0], elementType: .int16, shape: [2], library: library).integers() == [1, 2])
    }

    @Test func shapesThatDisagreeWithTheBytesAreErrors() throws {
        let library = try testLibrary()
        for shape in [[3], [-1], [.max, 2], [2, 2]] {
            #expect(failure { try Value([1, 2] as [Float], shape: shape, library: library) } != nil, "\(shape)")
        }
        #expect(failure { try Value(zeros: .string, shape: [2], library: library) } != nil)
        #expect(failure { try Value(strings: ["a"], shape: [2], library: library) } != nil)
    }

    @Test func emptyTensorsWork() throws {
        let none = try Value([] as [Float], shape: [0, 4], library: testLibrary())
        #expect(try none.floats() == [])
        let y = try session("empty.onnx").run(inputs: [("x", none)])[0]
        #expect(y.shape == [0, 4] && y.byteCount == 0)
        #expect(try y.floats() == [])
    }

    @Test func stringsComeBackAsTheyWentIn() throws {
        let words = ["", "größer", "a", "日本", "end"]
        let value = try Value(strings: words, shape: [5], library: testLibrary())
        #expect(try value.strings() == words)
        let back = try session("strings.onnx").run(inputs: [("s", value)])[0]
        #expect(back.elementType == .string && back.shape == [5])
        #expect(try back.strings() == words)
        #expect(failure { try back.floats() } != nil)
        #expect(failure { try back.withUnsafeBytes { _ in } } != nil)
        #expect(try Value(strings: [], shape: [0], library: testLibrary()).strings() == [])
    }

    @Test func sequencesAndMapsAreRecognized() throws {
        let library = try testLibrary()
        let x = try Value([1, 2] as [Float], shape: [2], library: library)
        let session = try session("sequence.onnx")
        #expect(session.outputs[0].kind == .sequence)
        let sequence = try session.run(inputs: [("x", x)])[0]
        #expect(sequence.kind == .sequence && sequence.shape == nil && sequence.elementType == nil)
        #expect(failure { try sequence.floats() } != nil)
        #expect(try sequence.elements().map { try $0.floats() } == [[1, 2], [1, 2]])

        let row = try Value([0.25, 0.75] as [Float], shape: [1, 2], library: library)
        let maps = try OnnxRuntimeTests.session("map.onnx").run(inputs: [("x", row)])[0].elements()
        #expect(maps.map(\.kind) == [.map])
        let parts = try maps[0].elements()
        #expect(try parts[0].integers() == [4, 9])
        #expect(try parts[1].floats() == [0.25, 0.75])
        #expect(failure { try x.elements() } != nil)
    }

    @Test func anEmptyOptionalIsAbsent() throws {
        let value = try session("absent.onnx").run(inputs: [])[0]
        #expect(value.kind == .absent || value.kind == .optional)
        #expect(failure { try value.floats() } != nil)
    }

    // MARK: Memory of others

    @Test func alignedMemoryIsSharedAndMisalignedMemoryCopied() throws {
        let library = try testLibrary()
        let bytes = [Float(1), 2, 3].withUnsafeBytes { [UInt8]($0) }
        for (offset, shares) in [(0, true), (4, true), (1, false), (2, false), (3, false)] {
            let owner = Owner(bytes, offset: offset)
            let memory = UnsafeRawBufferPointer(owner.memory)
            let value = try Value(borrowing: memory, elementType: .float, shape: [3], owner: owner, library: library)
            #expect(try value.sharesMemory(with: memory) == shares, "offset \(offset)")
            #expect(try value.floats() == [1, 2, 3])
            #expect(!shares || failure { try value.withUnsafeMutableBytes { _ in } } != nil)
        }
    }

    @Test func borrowedMemoryLivesAsLongAsTheValue() throws {
        let library = try testLibrary()
        weak var watched: Owner?
        do {
            let value: Value
            do {
                let owner = Owner([1, 2, 3])
                watched = owner
                value = try Value(
                    borrowing: UnsafeRawBufferPointer(owner.memory), elementType: .uint8, shape: [3], owner: owner,
                    library: library)
            }
            #expect(watched != nil)
            #expect(try value.integers() == [1, 2, 3])
        }
        #expect(watched == nil)
    }

    @Test func slicesAreRowsOfTheirParent() throws {
        let library = try testLibrary()
        let parent = try Value((0..<12).map { Float($0) }, shape: [4, 3], library: library)
        let slice = try parent.slice(rows: 1..<3)
        #expect(slice.shape == [2, 3])
        #expect(try slice.floats() == [3, 4, 5, 6, 7, 8])
        #expect(try parent.slice(rows: 2..<2).floats() == [])
        #expect(failure { try parent.slice(rows: 3..<5) } != nil)
        #expect(failure { try Value([1] as [Float], shape: [], library: library).slice(rows: 0..<1) } != nil)
        #expect(try parent.reshaped([2, 6]).slice(rows: 1..<2).floats() == [6, 7, 8, 9, 10, 11])
        #expect(failure { try parent.reshaped([5]) } != nil)
        // Two nibbles to the byte: rows of three do not end on bytes, rows of four do.
        let odd = try Value(bytes: [1, 2, 3], elementType: .uint4, shape: [2, 3], library: library)
        #expect(failure { try odd.slice(rows: 0..<1) } != nil)
        let even = try Value(bytes: [0x21, 0x43, 0x65, 0x87], elementType: .uint4, shape: [2, 4], library: library)
        #expect(try even.slice(rows: 1..<2).integers() == [5, 6, 7, 8])
    }

    // MARK: Many readers or one writer

    @Test func readingAndWritingExcludeEachOther() throws {
        let library = try testLibrary()
        let value = try Value([1, 2] as [Float], shape: [2], library: library)
        try value.withUnsafeBytes { _ in
            let floats = try value.floats()
            #expect(floats == [1, 2])
            #expect(failure { try value.withUnsafeMutableBytes { _ in } } == Value.writeConflict)
        }
        let session = try session("sum.onnx")
        try value.withUnsafeMutableBytes { _ in
            #expect(failure { try value.floats() } == Value.readConflict)
            #expect(failure { try session.run(inputs: [("a", value), ("b", value)]) } == Value.readConflict)
        }
        // One tensor twice as input is reading; as input and output it is not.
        #expect(try session.run(inputs: [("a", value), ("b", value)])[0].floats() == [2, 4])
        #expect(
            failure { try session.run(session.signature(), [value, value], into: [value]) } == Value.writeConflict)
        let other = try Value([0, 0] as [Float], shape: [2], library: library)
        #expect(failure { try Value.withUnsafeMutableBytes(of: [other, value, value]) { _ in } } == Value.writeConflict)
        try Value.withUnsafeMutableBytes(of: [other, value]) { bytes in
            #expect(failure { try value.floats() } == Value.readConflict)
            bytes[0].copyMemory(from: UnsafeRawBufferPointer(bytes[1]))
        }
        #expect(try other.floats() == [1, 2])
        // What failed has let go of everything.
        try value.withUnsafeMutableBytes { $0.storeBytes(of: 9, as: Float.self) }
        #expect(try value.floats() == [9, 2])
        do {
            let slice = try value.slice(rows: 0..<1)
            #expect(failure { try value.withUnsafeMutableBytes { _ in } } == Value.writeConflict)
            withExtendedLifetime(slice) {}
        }
        try value.withUnsafeMutableBytes { _ in }
    }
}
