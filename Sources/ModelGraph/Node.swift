import Foundation

/// One operator application.
public struct Node: Sendable {
    public var name: String
    public var opType: String
    /// Operator set domain; empty for the standard one.
    public var domain: String
    /// Names of the values read; an empty name is an optional input left out.
    public var inputs: [String]
    public var outputs: [String]
    public var attributes: [Attribute]
    /// Document string, metadata, overload and newer fields, written back as they were read.
    var preserved = OnnxNodeProto()

    public init(
        _ opType: String, name: String = "", domain: String = "", inputs: [String], outputs: [String], attributes: [Attribute] = []
    ) {
        self.name = name
        self.opType = opType
        self.domain = domain
        self.inputs = inputs
        self.outputs = outputs
        self.attributes = attributes
    }

    /// Whether this is the named operator of the standard domain.
    public func isStandard(_ type: String) -> Bool { opType == type && (domain.isEmpty || domain == "ai.onnx") }

    public func attribute(_ name: String) -> AttributeValue? { attributes.first { $0.name == name }?.value }

    public func int(_ name: String) -> Int? {
        if case .int(let value)? = attribute(name) { return Int(value) }
        return nil
    }

    public func ints(_ name: String) -> [Int]? {
        if case .ints(let values)? = attribute(name) { return values.map(Int.init) }
        return nil
    }

    public func float(_ name: String) -> Float? {
        if case .float(let value)? = attribute(name) { return value }
        return nil
    }

    public func string(_ name: String) -> String? {
        if case .string(let value)? = attribute(name) { return String(decoding: value, as: UTF8.self) }
        return nil
    }

    public func tensor(_ name: String) -> Tensor? {
        if case .tensor(let value)? = attribute(name) { return value }
        return nil
    }

    /// Whether it calls one of several functions of one name (NodeProto.overload, IR version 10).
    var isOverloaded: Bool { !WireFormat.payloads(8, in: preserved.unknownFields.data).isEmpty }

    /// Sets or replaces an attribute; `nil` removes it.
    public mutating func set(_ name: String, _ value: AttributeValue?) {
        let index = attributes.firstIndex { $0.name == name }
        switch (index, value) {
        case (let index?, let value?): attributes[index].value = value
        case (let index?, nil): attributes.remove(at: index)
        case (nil, let value?): attributes.append(Attribute(name, value))
        case (nil, nil): break
        }
    }

    /// Input at a position, or `nil` if it is absent or left out.
    public func input(_ index: Int) -> String? {
        guard inputs.indices.contains(index), !inputs[index].isEmpty else { return nil }
        return inputs[index]
    }

    /// Subgraphs held by attributes (the bodies of If, Loop and Scan), with the attribute's name.
    public var subgraphs: [(attribute: String, graph: Graph)] {
        attributes.flatMap { attribute -> [(String, Graph)] in
            switch attribute.value {
            case .graph(let graph): [(attribute.name, graph)]
            case .graphs(let graphs): graphs.map { (attribute.name, $0) }
            default: []
            }
        }
    }
}

/// A named parameter of a node.
public struct Attribute: Sendable {
    public var name: String
    public var value: AttributeValue
    var preserved = OnnxAttributeProto()

    public init(_ name: String, _ value: AttributeValue) {
        self.name = name
        self.value = value
    }
}

public indirect enum AttributeValue: Sendable {
    case float(Float)
    case int(Int64)
    case string(Data)
    case tensor(Tensor)
    case graph(Graph)
    case floats([Float])
    case ints([Int64])
    case strings([Data])
    case tensors([Tensor])
    case graphs([Graph])
    /// Refers to an attribute of the enclosing function.
    case reference(String)
    /// A kind this program does not interpret; kept as it was read.
    case opaque

    public static func text(_ value: String) -> AttributeValue { .string(Data(value.utf8)) }
    public static func integers(_ values: [Int]) -> AttributeValue { .ints(values.map(Int64.init)) }
    public static func integer(_ value: Int) -> AttributeValue { .int(Int64(value)) }
}
