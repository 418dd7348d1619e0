import Foundation
import SwiftProtobuf

/// A model laid out as a file: literal bytes and tensor payloads in order, not yet joined.
public struct SerializedModel: Sendable {
    public enum Part: Sendable {
        /// Bytes of the file that are no tensor's elements.
        case bytes([UInt8])
        /// The elements of a tensor, as they stand in the file: its `storage`.
        case tensor(Tensor)
    }

    /// The file in order.
    public let parts: [Part]
    /// Size of the file in bytes.
    public let byteCount: Int

    /// Calls `body` with each run of bytes in order, without joining them.
    public func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        for part in parts {
            switch part {
            case .bytes(let bytes): try bytes.withUnsafeBytes(body)
            case .tensor(let tensor): try body(tensor.storage.bytes)
            }
        }
    }

    /// The whole file in memory.
    public func joined() -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(byteCount)
        forEachChunk { out.append(contentsOf: $0) }
        return out
    }

    /// Writes the file beside its place, flushes it to disk and renames it into place.
    public func write(to path: String) throws {
        try AtomicFile.write(to: path) { handle in
            try forEachChunk { chunk in try handle.write(chunk) }
        }
    }
}

extension Model {
    /// The ONNX file of this model. The same model always gives the same bytes. Constants that came from `Constant`
    /// nodes go back to them.
    ///
    /// - Throws: `ModelGraphError` if the graph cannot be expressed.
    public func serialized() throws(ModelGraphError) -> SerializedModel {
        var writer = OnnxWriter()
        return try writer.serialize(restoringSparseForms().restoringConstants())
    }

    /// The proto of this model without the payload of its large initializers, for ONNX Runtime's
    /// `AddExternalInitializers`, and those initializers. Only initializers of the main graph of at least
    /// `threshold` bytes are left out, and no lists of integers: the runtime reads sizes and axes while it loads the proto.
    public func serializedWithoutWeights(threshold: Int = 1024) throws(ModelGraphError) -> (proto: [UInt8], weights: [Tensor]) {
        // The runtime drops constants that nothing reads, and then does not find them when theirs are handed over.
        let index = GraphIndex(graph)
        let listed = Set(graph.inputs.map(\.name))
        var model = self
        model.graph.initializers.removeAll { index.useCount($0.key) == 0 && !listed.contains($0.key) }
        var writer = OnnxWriter(externalThreshold: threshold)
        writer.inline = Set(model.graph.initializers.keys.filter { index.useCount($0) == 0 })
        let proto = try writer.serialize(model).joined()
        return (proto, writer.external)
    }
}

/// Turns the graph's value types into protobuf messages whose tensors hold tickets, then splices the payloads in.
struct OnnxWriter {
    /// Initializers of the main graph at least this large are declared external and collected in `external`.
    var externalThreshold: Int?
    private(set) var external: [Tensor] = []
    /// Initializers that are not declared external however large.
    var inline: Set<String> = []
    /// Name of the file that external initializers will stand in, one behind the other; `nil` where they are handed over in memory.
    var externalFile: String?
    private(set) var externalOffsets: [Int] = []
    private(set) var externalByteCount = 0
    /// Where an initializer may begin: pages, so that the file can be mapped.
    private static let alignment = 4096
    private var payloads: [Tensor] = []

    init(externalThreshold: Int? = nil) { self.externalThreshold = externalThreshold }

    mutating func serialize(_ model: Model) throws(ModelGraphError) -> SerializedModel {
        var proto = model.preserved
        proto.irVersion = Int64(model.irVersion)
        proto.producerName = model.producerName
        if !model.producerVersion.isEmpty { proto.producerVersion = model.producerVersion }
        // An entry that was read keeps how it was written: the standard domain's empty name may stand there or not.
        let read = proto.opsetImport
        proto.opsetImport = model.opsets.map { domain, version in
            var entry = read.first { $0.domain == domain } ?? OnnxOperatorSetIdProto()
            if !domain.isEmpty { entry.domain = domain }
            entry.version = Int64(version)
            return entry
        }
        proto.metadataProps = model.metadata.map { key, value in
            var entry = OnnxStringStringEntryProto()
            entry.key = key
            entry.value = value
            return entry
        }
        proto.graph = graph(model.graph, isMain: true)
        proto.functions = model.functions.map { function in
            var message = function.preserved
            message.node = function.nodes.map { node($0) }
            return message
        }
        let skeleton: [UInt8]
        do {
            skeleton = try proto.serializedBytes()
        } catch {
            throw ModelGraphError(.graph, "the model cannot be serialized: \(error)".oneLine)
        }
        let (pieces, byteCount) = try Result { try skeleton.withUnsafeBytes { try WireFormat.expand($0) } }
            .mapError { $0 as? ModelGraphError ?? ModelGraphError(.graph, "\($0)") }.get()
        let parts = try pieces.map { piece throws(ModelGraphError) -> SerializedModel.Part in
            switch piece {
            case .bytes(let bytes): return .bytes(bytes)
            case .payload(let index):
                guard payloads.indices.contains(index) else { throw ModelGraphError(.graph, "the model holds a tensor without data") }
                return .tensor(payloads[index])
            }
        }
        return SerializedModel(parts: parts, byteCount: byteCount)
    }

    private mutating func graph(_ graph: Graph, isMain: Bool = false) -> OnnxGraphProto {
        var proto = graph.preserved
        proto.name = graph.name
        proto.node = graph.nodes.map { node($0) }
        proto.input = graph.inputs.map(valueInfo)
        proto.output = graph.outputs.map(valueInfo)
        proto.valueInfo = graph.valueInfos.values.map(valueInfo)
        proto.initializer = graph.initializers.values.map { tensor in
            if isMain, let externalThreshold, tensor.elementType != .string, tensor.storage.byteCount >= externalThreshold,
                !inline.contains(tensor.name), !isList(tensor)
            {
                return externalTensor(tensor)
            }
            return self.tensor(tensor)
        }
        return proto
    }

    private mutating func node(_ node: Node) -> OnnxNodeProto {
        var proto = node.preserved
        if !node.name.isEmpty || proto.hasName { proto.name = node.name }
        proto.opType = node.opType
        if !node.domain.isEmpty || proto.hasDomain { proto.domain = node.domain }
        proto.input = node.inputs
        proto.output = node.outputs
        proto.attribute = node.attributes.map { attribute($0) }
        return proto
    }

    private mutating func attribute(_ attribute: Attribute) -> OnnxAttributeProto {
        var proto = attribute.preserved
        proto.name = attribute.name
        if case .opaque = attribute.value { return proto }
        if case .reference(let name) = attribute.value {
            proto.refAttrName = name
            return proto
        }
        proto.clearF()
        proto.clearI()
        proto.clearS()
        proto.floats = []
        proto.ints = []
        proto.strings = []
        switch attribute.value {
        case .float(let value): (proto.f, proto.type) = (value, 1)
        case .int(let value): (proto.i, proto.type) = (value, 2)
        case .string(let value): (proto.s, proto.type) = (value, 3)
        case .tensor(let value): (proto.t, proto.type) = (tensor(value), 4)
        case .graph(let value): (proto.g, proto.type) = (graph(value), 5)
        case .floats(let values): (proto.floats, proto.type) = (values, 6)
        case .ints(let values): (proto.ints, proto.type) = (values, 7)
        case .strings(let values): (proto.strings, proto.type) = (values, 8)
        case .tensors(let values): (proto.tensors, proto.type) = (values.map { tensor($0) }, 9)
        case .graphs(let values): (proto.graphs, proto.type) = (values.map { graph($0) }, 10)
        case .reference, .opaque: break
        }
        return proto
    }

    private mutating func tensor(_ tensor: Tensor) -> OnnxTensorProto {
        var proto = declaration(tensor)
        guard tensor.elementType != .string else {
            proto.stringData = tensor.strings
            return proto
        }
        var ticket: [UInt8] = []
        WireFormat.appendTicket(offset: payloads.count, length: tensor.storage.byteCount, to: &ticket)
        payloads.append(tensor)
        proto.payloadTicket = Data(ticket)
        return proto
    }

    /// Sizes of a Split, repeats of a Tile and their like, as opposed to tables.
    private func isList(_ tensor: Tensor) -> Bool {
        tensor.dims.count <= 1 && (tensor.elementType == .int64 || tensor.elementType == .int32) && tensor.storage.byteCount <= 1 << 16
    }

    private mutating func externalTensor(_ tensor: Tensor) -> OnnxTensorProto {
        var proto = declaration(tensor)
        proto.dataLocation = 1
        func entry(_ key: String, _ value: String) -> OnnxStringStringEntryProto {
            var entry = OnnxStringStringEntryProto()
            (entry.key, entry.value) = (key, value)
            return entry
        }
        if let externalFile {
            let offset = (externalByteCount + Self.alignment - 1) / Self.alignment * Self.alignment
            proto.externalData = [entry("location", externalFile), entry("offset", "\(offset)"), entry("length", "\(tensor.storage.byteCount)")]
            externalOffsets.append(offset)
            externalByteCount = offset + tensor.storage.byteCount
        } else {
            proto.externalData = [entry("location", "in-memory")]
        }
        external.append(tensor)
        return proto
    }

    private func declaration(_ tensor: Tensor) -> OnnxTensorProto {
        var proto = tensor.preserved
        if !tensor.name.isEmpty || proto.hasName { proto.name = tensor.name }
        proto.dims = tensor.dims.map(Int64.init)
        proto.dataType = tensor.elementType.rawValue
        return proto
    }

    private func valueInfo(_ info: ValueInfo) -> OnnxValueInfoProto {
        var proto = info.preserved
        proto.name = info.name
        if let elementType = info.elementType {
            proto.type.tensorType.elemType = elementType.rawValue
            if let shape = info.shape {
                let before = proto.type.tensorType.shape.dim
                proto.type.tensorType.shape.dim = shape.enumerated().map { index, dimension in
                    var message = before.indices.contains(index) ? before[index] : OnnxTensorShapeProto.Dimension()
                    switch dimension {
                    case .fixed(let value): message.dimValue = Int64(value)
                    case .symbolic(let name): message.dimParam = name
                    case .unknown: break
                    }
                    return message
                }
            } else {
                proto.type.tensorType.clearShape()
            }
        }
        return proto
    }
}
