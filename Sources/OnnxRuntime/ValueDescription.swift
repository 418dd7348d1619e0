import COnnxRuntime

/// What a session says about one of its inputs or outputs.
public struct ValueDescription: Sendable, Hashable {
    /// The size of one axis.
    public enum Dimension: Sendable, Hashable, CustomStringConvertible {
        case fixed(Int)
        /// Known by name only, such as "batch"; equal names mean equal dimensions.
        case symbolic(String)
        case unknown

        /// The size, or -1 where it is not fixed.
        public var size: Int {
            if case .fixed(let size) = self { size } else { -1 }
        }

        public var description: String {
            switch self {
            case .fixed(let size): "\(size)"
            case .symbolic(let name): name
            case .unknown: "?"
            }
        }
    }

    public var name: String
    public var kind: Value.Kind
    /// Nil for anything but tensors.
    public var elementType: Value.ElementType?
    /// Nil when not even the rank is known. Before release 1.24 the runtime cannot tell a scalar from an unknown rank;
    /// both are nil then.
    public var dimensions: [Dimension]?

    /// Why a value does not fit; nil when it does.
    func mismatch(with value: Value) -> String? {
        guard kind == .tensor else { return nil }
        guard value.kind == .tensor else { return "must be a tensor, not \(value.typeDescription)" }
        if let elementType, value.elementType != elementType {
            return "must be tensor(\(elementType)), not \(value.typeDescription)"
        }
        guard let dimensions else { return nil }
        let shape = value.shape ?? []
        var fits = shape.count == dimensions.count
        if fits {
            for axis in shape.indices {
                if case .fixed(let size) = dimensions[axis], size != shape[axis] { fits = false }
            }
        }
        guard !fits else { return nil }
        let expected = dimensions.map(\.description).joined(separator: ", ")
        return "must have shape [\(expected)], not \(shape)"
    }
}

extension ValueDescription {
    /// Reads what `type` says.
    init(name: String, type: OpaquePointer, library: RuntimeLibrary, doing: String) throws(OnnxRuntimeError) {
        self.name = name
        let api = library.api
        var onnxType: ONNXType = 0
        try library.check(api.pointee.GetOnnxTypeFromTypeInfo(type, &onnxType), doing: doing)
        kind = Value.Kind(onnxType)
        guard kind == .tensor else { return }
        // Part of `type`; not to be released.
        var information: OpaquePointer?
        try library.check(api.pointee.CastTypeInfoToTensorInfo(type, &information), doing: doing)
        guard let information else { return }
        var element: ONNXTensorElementDataType = 0
        try library.check(api.pointee.GetTensorElementType(information, &element), doing: doing)
        elementType = Value.ElementType(rawValue: element)

        var rank = 0
        try library.check(api.pointee.GetDimensionsCount(information, &rank), doing: doing)
        if rank == 0 {
            let known =
                library.version >= RuntimeVersion(1, 24) && api.pointee.TensorTypeAndShape_HasShape(information)
            dimensions = known ? [] : nil
            return
        }
        var sizes = [Int64](repeating: -1, count: rank)
        try library.check(api.pointee.GetDimensions(information, &sizes, rank), doing: doing)
        var symbols = [UnsafePointer<CChar>?](repeating: nil, count: rank)
        try library.check(api.pointee.GetSymbolicDimensions(information, &symbols, rank), doing: doing)
        dimensions = zip(sizes, symbols).map { size, symbol in
            if size >= 0 { return .fixed(Int(size)) }
            let name = symbol.map { String(cString: $0) } ?? ""
            return name.isEmpty ? .unknown : .symbolic(name)
        }
    }
}
