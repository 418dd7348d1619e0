import Foundation
import OrderedCollections
import SwiftProtobuf

extension Model {
    /// Reads an ONNX file by mapping it; tensors view the mapping, so nothing is copied.
    ///
    /// External data is mapped from beside the file. Constants are brought to one form (see `normalizeConstants`).
    /// - Throws: `ModelGraphError` with one line that names the file and what is wrong.
    public static func read(path: String) throws(ModelGraphError) -> Model {
        let file = try MappedFile(path: path)
        do {
            var reader = OnnxReader(bytes: file.bytes, owner: file, external: ExternalData(folder: path.folder, model: path))
            var model = try reader.read()
            model.sources.insert(file.stamp, at: 0)
            return model
        } catch {
            throw ModelGraphError(error.kind, "\(path): \(error.message)")
        }
    }

    /// The files that `read(path:)` reads: the model's own first, then those with external data.
    public static func files(path: String) throws(ModelGraphError) -> [String] {
        let file = try MappedFile(path: path)
        var reader = OnnxReader(bytes: file.bytes, owner: file, external: ExternalData(folder: path.folder, model: path))
        _ = try reader.model(try reader.message())
        return [path] + reader.externalFiles.values.map(\.path).sorted()
    }

    /// Reads a model from memory that `owner` keeps alive. `directory` is where external data is looked for.
    public static func read(
        bytes: UnsafeRawBufferPointer, owner: AnyObject & Sendable, directory: String?
    ) throws(ModelGraphError) -> Model {
        var reader = OnnxReader(bytes: bytes, owner: owner, external: directory.map { ExternalData(folder: $0) })
        return try reader.read()
    }
}

extension Model {
    /// Bytes of the files a model was read from: its own and the external data it uses.
    public var storedByteCount: Int { sources.reduce(0) { $0 + $1.size } }
}

extension String {
    /// The folder of a file's path; empty for a file of the working folder. (Foundation's own ends the program on a path of one character.)
    package var folder: String {
        guard let slash = lastIndex(of: "/") else { return "" }
        return slash == startIndex ? "/" : String(self[..<slash])
    }

    /// Line breaks become spaces, so that an error stays one line.
    var oneLine: String { split(whereSeparator: \.isNewline).joined(separator: " ") }
}

/// Turns protobuf messages into the graph's value types.
struct OnnxReader {
    let bytes: UnsafeRawBufferPointer
    let owner: AnyObject & Sendable
    /// `nil` where there can be none.
    let external: ExternalData?
    private(set) var externalFiles: [String: MappedFile] = [:]

    init(bytes: UnsafeRawBufferPointer, owner: AnyObject & Sendable, external: ExternalData?) {
        self.bytes = bytes
        self.owner = owner
        self.external = external
    }

    mutating func read() throws(ModelGraphError) -> Model {
        var model = try model(try message())
        model.sources = externalFiles.values.map(\.stamp).sorted { $0.path < $1.path }
        try model.validate()
        model.inlineFunctions()
        model.normalizeConstants()
        return model
    }

    /// The file as a protobuf message, weights left where they are.
    func message() throws(ModelGraphError) -> OnnxModelProto {
        guard bytes.count > 0 else { throw ModelGraphError(.damaged, "empty file, expected an ONNX model") }
        func damaged(_ why: String) -> ModelGraphError {
            ModelGraphError(.damaged, "not an ONNX model" + (ForeignFormat.description(of: bytes).map { " but \($0)" } ?? why).oneLine)
        }
        let skeleton: [UInt8]
        do {
            skeleton = try WireFormat.skeleton(of: bytes)
        } catch {
            throw damaged(", or damaged: \(error.message)")
        }
        let proto: OnnxModelProto
        do {
            var options = BinaryDecodingOptions()
            options.messageDepthLimit = 4 * WireFormat.maximumDepth
            proto = try OnnxModelProto(serializedBytes: skeleton, options: options)
        } catch {
            throw damaged(": its bytes do not parse as one (\(error))")
        }
        guard proto.hasGraph else { throw damaged(": it holds no graph") }
        return proto
    }

    mutating func model(_ proto: OnnxModelProto) throws(ModelGraphError) -> Model {
        var model = Model(graph: try graph(proto.graph))
        model.irVersion = Int(proto.irVersion)
        model.opsets = OrderedDictionary(proto.opsetImport.map { ($0.domain, Int($0.version)) }, uniquingKeysWith: { $1 })
        model.producerName = proto.producerName
        model.producerVersion = proto.producerVersion
        model.metadata = OrderedDictionary(proto.metadataProps.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
        var functions: [Function] = []
        for function in proto.functions {
            var kept = function
            kept.node = []
            var nodes: [Node] = []
            for element in function.node { nodes.append(try node(element)) }
            // FunctionProto.attribute_proto, newer than this schema.
            var defaults: [Attribute] = []
            for bytes in WireFormat.payloads(11, in: function.unknownFields.data) {
                if let proto = try? OnnxAttributeProto(serializedBytes: bytes) { defaults.append(try attribute(proto)) }
            }
            functions.append(Function(nodes: nodes, defaults: defaults, preserved: kept))
        }
        model.functions = functions
        model.preserved = proto
        model.preserved.clearGraph()
        model.preserved.functions = []
        model.preserved.metadataProps = []
        return model
    }

    mutating func graph(_ proto: OnnxGraphProto) throws(ModelGraphError) -> Graph {
        var graph = Graph(name: proto.name)
        graph.nodes.reserveCapacity(proto.node.count)
        for element in proto.node { graph.nodes.append(try node(element)) }
        graph.inputs = proto.input.map(valueInfo)
        graph.outputs = proto.output.map(valueInfo)
        for element in proto.valueInfo { graph.valueInfos[element.name] = valueInfo(element) }
        for element in proto.initializer {
            guard !element.name.isEmpty else { throw ModelGraphError(.damaged, "an initializer has no name") }
            let read = try tensor(element)
            // Of two with one name, ONNX Runtime takes the last.
            graph.initializers[element.name] = read
        }
        if !graph.isSorted { try graph.sortTopologically() }
        graph.preserved = proto
        graph.preserved.node = []
        graph.preserved.input = []
        graph.preserved.output = []
        graph.preserved.valueInfo = []
        graph.preserved.initializer = []
        try takeInSparseInitializers(&graph)
        return graph
    }

    /// Gives a sparse initializer's part its bytes.
    mutating func restorePayload(_ proto: inout OnnxTensorProto) throws(ModelGraphError) {
        if proto.dataLocation == 1 {
            // Taken into the file: what is written has no other beside it.
            let expected = try Tensor.byteCount(name: proto.name, elementType: ElementType(rawValue: proto.dataType), dims: proto.dims.map(Int.init))
            proto.rawData = Data(try externalStorage(proto, expected).bytes)
            proto.externalData = []
            proto.clearDataLocation()
            return
        }
        guard proto.hasPayloadTicket else { return }
        let range = try payload(proto)
        proto.rawData = Data(bytes[range])
        proto.clearPayloadTicket()
        proto.floatData = []
        proto.doubleData = []
    }

    mutating func node(_ proto: OnnxNodeProto) throws(ModelGraphError) -> Node {
        var node = Node(proto.opType, name: proto.name, domain: proto.domain, inputs: proto.input, outputs: proto.output)
        for element in proto.attribute { node.attributes.append(try attribute(element)) }
        node.preserved = proto
        node.preserved.input = []
        node.preserved.output = []
        node.preserved.attribute = []
        return node
    }

    mutating func attribute(_ proto: OnnxAttributeProto) throws(ModelGraphError) -> Attribute {
        var attribute = Attribute(proto.name, .opaque)
        attribute.preserved = proto
        // Tensors and graphs live in the value only: their payloads are tickets of this file.
        attribute.preserved.clearT()
        attribute.preserved.clearG()
        attribute.preserved.tensors = []
        attribute.preserved.graphs = []
        if proto.hasRefAttrName, !proto.refAttrName.isEmpty {
            attribute.value = .reference(proto.refAttrName)
            return attribute
        }
        // Files of IR version 1 carry no type: the field that is present tells it.
        let type = proto.type != 0 ? proto.type : impliedType(proto)
        switch type {
        case 1: attribute.value = .float(proto.f)
        case 2: attribute.value = .int(proto.i)
        case 3: attribute.value = .string(proto.s)
        case 4:
            attribute.value = .tensor(try tensor(proto.t))
        case 5:
            attribute.value = .graph(try graph(proto.g))
        case 6: attribute.value = .floats(proto.floats)
        case 7: attribute.value = .ints(proto.ints)
        case 8: attribute.value = .strings(proto.strings)
        case 9:
            var tensors: [Tensor] = []
            for element in proto.tensors { tensors.append(try tensor(element)) }
            attribute.value = .tensors(tensors)
        case 10:
            var graphs: [Graph] = []
            for element in proto.graphs { graphs.append(try graph(element)) }
            attribute.value = .graphs(graphs)
        default: attribute.value = .opaque
        }
        return attribute
    }

    private func impliedType(_ proto: OnnxAttributeProto) -> Int32 {
        if proto.hasF { return 1 }
        if proto.hasI { return 2 }
        if proto.hasS { return 3 }
        if proto.hasT { return 4 }
        if proto.hasG { return 5 }
        if !proto.floats.isEmpty { return 6 }
        if !proto.ints.isEmpty { return 7 }
        if !proto.strings.isEmpty { return 8 }
        if !proto.tensors.isEmpty { return 9 }
        if !proto.graphs.isEmpty { return 10 }
        return 0
    }

    func valueInfo(_ proto: OnnxValueInfoProto) -> ValueInfo {
        var info = ValueInfo(name: proto.name, elementType: nil, shape: nil)
        if proto.type.hasTensorType {
            info.elementType = ElementType(rawValue: proto.type.tensorType.elemType)
            if proto.type.tensorType.hasShape {
                info.shape = proto.type.tensorType.shape.dim.map { dimension in
                    switch dimension.value {
                    case .dimValue(let value)? where value >= 0: .fixed(Int(value))
                    case .dimParam(let name)? where !name.isEmpty: .symbolic(name)
                    default: .unknown
                    }
                }
            }
        }
        info.preserved = proto
        return info
    }
}

// MARK: - Tensors

extension OnnxReader {
    mutating func tensor(_ proto: OnnxTensorProto) throws(ModelGraphError) -> Tensor {
        let type = ElementType(rawValue: proto.dataType)
        let dims = proto.dims.map(Int.init)
        var kept = proto
        kept.dims = []
        kept.clearRawData()
        kept.clearPayloadTicket()
        kept.floatData = []
        kept.doubleData = []
        kept.int32Data = []
        kept.int64Data = []
        kept.uint64Data = []
        kept.stringData = []
        var tensor: Tensor
        if type == .string {
            tensor = try Tensor(name: proto.name, strings: proto.stringData, dims: dims)
        } else {
            let expected = try Tensor.byteCount(name: proto.name, elementType: type, dims: dims)
            tensor = try Tensor(name: proto.name, elementType: type, dims: dims, storage: try storage(proto, type, expected))
            kept.externalData = []
            kept.clearDataLocation()
        }
        tensor.preserved = kept
        return tensor
    }

    private func payload(_ proto: OnnxTensorProto) throws(ModelGraphError) -> Range<Int> {
        let ticket = proto.payloadTicket.withUnsafeBytes { WireFormat.ticket($0) }
        guard let ticket, ticket.offset >= 0, ticket.length >= 0, ticket.offset <= bytes.count,
            ticket.length <= bytes.count - ticket.offset
        else { throw ModelGraphError(.damaged, "tensor '\(proto.name.shortened)': its data is outside the file") }
        return ticket.offset..<(ticket.offset + ticket.length)
    }

    private mutating func storage(_ proto: OnnxTensorProto, _ type: ElementType, _ expected: Int) throws(ModelGraphError) -> TensorStorage {
        func mismatch(_ has: Int) -> ModelGraphError {
            ModelGraphError(
                .damaged, "tensor '\(proto.name.shortened)': \(type) \(proto.dims) needs \(expected) bytes, the file has \(has)")
        }
        if proto.dataLocation == 1 { return try externalStorage(proto, expected) }
        if proto.hasPayloadTicket {
            let range = try payload(proto)
            guard range.count == expected else { throw mismatch(range.count) }
            return TensorStorage(viewing: UnsafeRawBufferPointer(rebasing: bytes[range]), owner: owner)
        }
        if proto.hasRawData {
            guard proto.rawData.count == expected else { throw mismatch(proto.rawData.count) }
            return TensorStorage(copying: [UInt8](proto.rawData))
        }
        let storage = typedStorage(proto, type)
        guard storage.byteCount == expected else { throw mismatch(storage.byteCount) }
        return storage
    }

    /// Data in the typed fields; which field holds which type is fixed by TensorProto's documentation.
    private func typedStorage(_ proto: OnnxTensorProto, _ type: ElementType) -> TensorStorage {
        switch type {
        case .float32, .complex64: return TensorStorage(copying: proto.floatData)
        case .float64, .complex128: return TensorStorage(copying: proto.doubleData)
        case .int64: return TensorStorage(copying: proto.int64Data)
        case .uint64: return TensorStorage(copying: proto.uint64Data)
        case .uint32: return TensorStorage(copying: proto.uint64Data.map { UInt32(truncatingIfNeeded: $0) })
        case .int32: return TensorStorage(copying: proto.int32Data)
        default: break
        }
        switch type.bitWidth {
        case 16: return TensorStorage(copying: proto.int32Data.map { UInt16(truncatingIfNeeded: $0) })
        default: return TensorStorage(copying: proto.int32Data.map { UInt8(truncatingIfNeeded: $0) })
        }
    }

    private mutating func externalStorage(_ proto: OnnxTensorProto, _ expected: Int) throws(ModelGraphError) -> TensorStorage {
        let entries = Dictionary(proto.externalData.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
        guard let location = entries["location"], let external else {
            throw ModelGraphError(.damaged, "tensor '\(proto.name.shortened)': external data without a location")
        }
        let file: MappedFile
        if let known = externalFiles[location] {
            file = known
        } else {
            file = try external.file(location, tensor: proto.name)
            externalFiles[location] = file
        }
        func number(_ key: String, else standard: Int) throws(ModelGraphError) -> Int {
            guard let text = entries[key] else { return standard }
            guard let value = Int(text) else { throw ModelGraphError(.damaged, "tensor '\(proto.name.shortened)': external data with \(key) '\(text)'") }
            return value
        }
        let offset = try number("offset", else: 0)
        let length = try number("length", else: expected)
        guard offset >= 0, length == expected, offset <= file.bytes.count, length <= file.bytes.count - offset else {
            throw ModelGraphError(
                .damaged, "tensor '\(proto.name.shortened)': needs \(expected) bytes at \(offset) of '\(location)', which has \(file.bytes.count)")
        }
        return TensorStorage(viewing: UnsafeRawBufferPointer(rebasing: file.bytes[offset..<(offset + length)]), owner: file)
    }
}
