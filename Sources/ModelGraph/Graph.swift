import OrderedCollections

/// A dataflow graph: values are names, each produced by one node, an input or an initializer.
public struct Graph: Sendable {
    public var name: String
    /// In topological order, as ONNX requires.
    public var nodes: [Node]
    public var inputs: [ValueInfo]
    public var outputs: [ValueInfo]
    /// Constant tensors by name, in file order. After loading, `Constant` nodes are here as well.
    public var initializers: OrderedDictionary<String, Tensor>
    /// Types and shapes of intermediate values, where the file has them.
    public var valueInfos: OrderedDictionary<String, ValueInfo>
    /// Initializers that came from `Constant` nodes and go back to them on writing.
    var constantNodes: [String: Node] = [:]
    /// Initializers that the file stores with their zeros left out; dense here. Names of what is no initializer any more say nothing.
    public var sparseForms: [String: SparseForm] = [:]
    /// Those that were read as `sparse_initializer`, as they stood in the file.
    var sparseSources: [String: (proto: OnnxSparseTensorProto, storage: TensorStorage)] = [:]
    /// Sparse initializers that could not be read, quantization annotations, document string and newer fields, written back as they were read.
    var preserved = OnnxGraphProto()

    public init(name: String, nodes: [Node] = [], inputs: [ValueInfo] = [], outputs: [ValueInfo] = [], initializers: [Tensor] = []) {
        self.name = name
        self.nodes = nodes
        self.inputs = inputs
        self.outputs = outputs
        self.initializers = OrderedDictionary(initializers.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        valueInfos = [:]
    }

    /// Inputs that a caller must supply: those without an initializer of the same name.
    public var requiredInputs: [ValueInfo] { inputs.filter { initializers[$0.name] == nil } }

    /// Whether an initializer came from a `Constant` node: a number that the network's author wrote down rather than one it learned.
    public func isFromConstantNode(_ name: String) -> Bool { constantNodes[name] != nil }

    /// Names of sparse initializers that this program keeps but could not read; all others are initializers.
    public var sparseInitializerNames: [String] { preserved.sparseInitializer.map(\.values.name) }
}

/// Name, element type and shape of a value.
public struct ValueInfo: Sendable {
    public var name: String
    /// `nil` where the value is not a tensor or its type is not given.
    public var elementType: ElementType?
    /// `nil` where the rank is unknown.
    public var shape: [Dimension]?
    var preserved = OnnxValueInfoProto()
    /// Not so of sequences, maps, optional values and sparse tensors.
    public var isTensor: Bool { preserved.type.hasTensorType || preserved.type.unknownFields.data.isEmpty }

    public init(name: String, elementType: ElementType?, shape: [Dimension]?) {
        self.name = name
        self.elementType = elementType
        self.shape = shape
    }
}

/// One size of a shape.
public enum Dimension: Hashable, Sendable, CustomStringConvertible {
    case fixed(Int)
    case symbolic(String)
    case unknown

    public var fixedValue: Int? {
        if case .fixed(let value) = self { return value }
        return nil
    }

    public var description: String {
        switch self {
        case .fixed(let value): String(value)
        case .symbolic(let name): name
        case .unknown: "?"
        }
    }
}

/// A whole ONNX model.
public struct Model: Sendable {
    public var irVersion: Int
    /// Operator set version by domain; the standard domain is the empty name.
    public var opsets: OrderedDictionary<String, Int>
    public var producerName: String
    public var producerVersion: String
    public var graph: Graph
    public var metadata: OrderedDictionary<String, String>
    /// Model-local functions.
    public var functions: [Function]
    /// The files the model was read from, its own first; empty for one from elsewhere.
    public internal(set) var sources: [FileStamp] = []
    /// Where rewrites removed channels: which indices of the model as it was read are left, by value of the main graph and
    /// dimension counted from the end (−1 the last). Lives in memory only, for rewrites that compare with that model; never written.
    public var keptChannels: [String: [Int: [Int]]] = [:]
    /// Fields that are not interpreted, written back as they were read.
    var preserved = OnnxModelProto()

    public init(graph: Graph, opset: Int = 17, irVersion: Int = 8) {
        self.graph = graph
        self.irVersion = irVersion
        opsets = ["": opset]
        producerName = "lathe"
        producerVersion = ""
        metadata = [:]
        functions = []
    }

    /// Version of the standard operator set.
    public var opset: Int { opsets[""] ?? opsets["ai.onnx"] ?? 1 }

    /// Makes sure an operator set of a domain is imported.
    public mutating func requireOpset(domain: String, version: Int) {
        if opsets[domain] == nil { opsets[domain] = version }
    }
}

/// A model-local function. Calls of those that can be are replaced on reading (`Model.inlineFunctions`); what is left is kept, not rewritten.
public struct Function: Sendable {
    public var nodes: [Node]
    /// Values of attributes that a call leaves out.
    var defaults: [Attribute] = []
    var preserved = OnnxFunctionProto()

    public var name: String { preserved.name }
    public var domain: String { preserved.domain }
    var inputNames: [String] { preserved.input }
    var outputNames: [String] { preserved.output }
    /// Operator sets that its nodes are of; the standard domain is the empty name.
    var imports: [(domain: String, version: Int)] { preserved.opsetImport.map { ($0.domain == "ai.onnx" ? "" : $0.domain, Int($0.version)) } }
    /// Whether it is one of several of its name (FunctionProto.overload, IR version 10).
    var isOverloaded: Bool { !WireFormat.payloads(13, in: preserved.unknownFields.data).isEmpty }
}
