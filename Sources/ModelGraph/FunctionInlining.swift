/// Some exporters turn every module of a network into a function of the file, with all layers inside. ONNX Runtime puts the nodes of
/// functions in the place of the nodes that call them before it does anything else. Done here, their layers are layers like any others.

extension Model {
    /// Replaces calls of model-local functions by what those do, here and in subgraphs. Functions that are written for another operator
    /// set than the model, overloaded ones and those that nobody calls stay as they are.
    mutating func inlineFunctions() {
        guard !functions.isEmpty else { return }
        var inlining = FunctionInlining(self)
        guard let inlined = inlining.expand(graph, depth: 0), !inlining.inlined.isEmpty else { return }
        graph = inlined
        for tensor in inlining.shared { graph.initializers[tensor.name] = tensor }
        for (domain, version) in inlining.imports { requireOpset(domain: domain, version: version) }
        var called = inlining.calls(in: graph)
        for function in functions where !inlining.inlined.contains(FunctionKey(function)) {
            for node in function.nodes { called.formUnion(inlining.calls(in: node)) }
        }
        functions.removeAll { inlining.inlined.contains(FunctionKey($0)) && !called.contains(FunctionKey($0)) }
    }
}

private struct FunctionKey: Hashable {
    var domain: String
    var name: String

    init(_ function: Function) { (domain, name) = (function.domain, function.name) }
    init(_ node: Node) { (domain, name) = (node.domain, node.opType) }
}

private struct FunctionInlining {
    /// More nodes than this no network has: functions that call functions may multiply.
    private static let maximumNodes = 1 << 18
    /// Constants of functions with more elements are stored once for all calls.
    private static let smallConstant = 16

    private let functions: [FunctionKey: Function]
    private let every: Set<FunctionKey>
    private var names: NameSupply
    /// Names of calls, in front of those of what is inside.
    private var prefixes = NameSupply(Graph(name: ""))
    private var nodeCount = 0
    private(set) var inlined = Set<FunctionKey>()
    private(set) var shared: [Tensor] = []
    private(set) var imports: [String: Int] = [:]
    private var sharedNames: [FunctionKey: [String: String]] = [:]

    init(_ model: Model) {
        names = NameSupply(model.graph)
        var functions: [FunctionKey: Function] = [:]
        var every = Set<FunctionKey>()
        var repeated = Set<FunctionKey>()
        for function in model.functions {
            let key = FunctionKey(function)
            if !every.insert(key).inserted { repeated.insert(key) }
            let fits = function.imports.allSatisfy { domain, version in (domain.isEmpty ? model.standardOpset : model.opsets[domain]).map { $0 == version } ?? true }
            // Where operators of these domains have functions of the same name, runtimes differ in which they take.
            if fits, !function.isOverloaded, !["", "ai.onnx", "ai.onnx.ml", "com.microsoft"].contains(function.domain) { functions[key] = function }
        }
        for key in repeated { functions[key] = nil }
        self.functions = functions
        self.every = every
    }

    /// Functions that nodes of a graph and of those inside call.
    func calls(in graph: Graph) -> Set<FunctionKey> { graph.nodes.reduce(into: []) { $0.formUnion(calls(in: $1)) } }

    func calls(in node: Node) -> Set<FunctionKey> {
        var found = Set<FunctionKey>()
        if every.contains(FunctionKey(node)) { found.insert(FunctionKey(node)) }
        for (_, body) in node.subgraphs { found.formUnion(calls(in: body)) }
        return found
    }

    /// The graph without calls; `nil` if that has too many nodes.
    mutating func expand(_ graph: Graph, depth: Int) -> Graph? {
        guard let nodes = expand(graph.nodes, depth: depth) else { return nil }
        var result = graph
        result.nodes = nodes
        return result
    }

    private mutating func expand(_ nodes: [Node], depth: Int) -> [Node]? {
        guard depth < WireFormat.maximumDepth else { return nil }
        var result: [Node] = []
        for var node in nodes {
            nodeCount += 1
            guard nodeCount <= Self.maximumNodes else { return nil }
            for index in node.attributes.indices {
                switch node.attributes[index].value {
                case .graph(let body):
                    guard let body = expand(body, depth: depth + 1) else { return nil }
                    node.attributes[index].value = .graph(body)
                case .graphs(let bodies):
                    var expanded: [Graph] = []
                    for body in bodies {
                        guard let body = expand(body, depth: depth + 1) else { return nil }
                        expanded.append(body)
                    }
                    node.attributes[index].value = .graphs(expanded)
                default: break
                }
            }
            guard let function = functions[FunctionKey(node)], !node.isOverloaded, let body = body(of: function, calledBy: node) else {
                result.append(node)
                continue
            }
            inlined.insert(FunctionKey(function))
            guard let inner = expand(body, depth: depth + 1) else { return nil }
            result += inner
        }
        return result
    }

    /// The nodes of a function with the names and attributes of a call; `nil` where the two do not fit.
    private mutating func body(of function: Function, calledBy call: Node) -> [Node]? {
        let (formal, results) = (function.inputNames, function.outputNames)
        guard call.inputs.count <= formal.count, call.outputs.count <= results.count, Set(formal).count == formal.count, Set(results).count == results.count,
            !function.nodes.contains(where: { $0.holdsSparse })
        else { return nil }
        let key = FunctionKey(function)
        let prefix = prefixes.fresh(call.name.isEmpty ? (call.outputs.first { !$0.isEmpty } ?? function.name) : call.name)
        var attributes: [String: AttributeValue] = [:]
        for attribute in function.defaults { attributes[attribute.name] = attribute.value }
        for attribute in call.attributes { attributes[attribute.name] = attribute.value }
        var map: [String: String] = [:]
        for (position, name) in formal.enumerated() { map[name] = call.inputs.indices.contains(position) ? call.inputs[position] : "" }
        var passed: [Node] = []
        for (position, name) in results.enumerated() {
            let actual = call.outputs.indices.contains(position) ? call.outputs[position] : ""
            if let input = map[name] {
                if !actual.isEmpty { passed.append(Node("Identity", name: names.fresh("\(prefix)/\(name)"), inputs: [input], outputs: [actual])) }
            } else {
                map[name] = actual.isEmpty ? names.fresh("\(prefix)/\(name)") : actual
            }
        }
        for (domain, version) in function.imports where imports[domain] == nil { imports[domain] = version }
        var nodes: [Node] = []
        for node in function.nodes {
            if node.isStandard("Constant"), let output = node.outputs.first, map[output] == nil, let tensor = node.tensor("value"), tensor.count > Self.smallConstant {
                let name = sharedNames[key]?[output] ?? names.fresh("\(function.name)/\(output)")
                if sharedNames[key, default: [:]].updateValue(name, forKey: output) == nil { shared.append(tensor.renamed(name)) }
                map[output] = name
                continue
            }
            var node = instance(of: node, prefix, &map, attributes)
            node.name = "\(prefix)/\(node.name.isEmpty ? node.opType : node.name)"
            nodes.append(node)
        }
        return nodes + passed
    }

    /// A node of a function with the names and attributes of a call, those of its subgraphs included.
    private mutating func instance(of node: Node, _ prefix: String, _ map: inout [String: String], _ attributes: [String: AttributeValue]) -> Node {
        var node = node
        node.inputs = node.inputs.map { map[$0] ?? $0 }
        node.attributes = node.attributes.compactMap { attribute in
            switch attribute.value {
            case .reference(let name): return attributes[name].map { Attribute(attribute.name, $0) }
            case .graph(let body):
                var attribute = attribute
                attribute.value = .graph(instance(of: body, prefix, map, attributes))
                return attribute
            case .graphs(let bodies):
                var attribute = attribute
                attribute.value = .graphs(bodies.map { instance(of: $0, prefix, map, attributes) })
                return attribute
            default: return attribute
            }
        }
        node.outputs = node.outputs.map { own($0, prefix, &map) }
        return node
    }

    private mutating func instance(of body: Graph, _ prefix: String, _ outer: [String: String], _ attributes: [String: AttributeValue]) -> Graph {
        var map = outer
        var graph = body
        graph.valueInfos = [:]
        for index in graph.inputs.indices {
            map[graph.inputs[index].name] = nil
            graph.inputs[index].name = own(graph.inputs[index].name, prefix, &map)
        }
        graph.initializers = [:]
        for (name, tensor) in body.initializers {
            if !body.inputs.contains(where: { $0.name == name }) { map[name] = nil }
            let new = own(name, prefix, &map)
            graph.initializers[new] = tensor.renamed(new)
        }
        graph.nodes = []
        for node in body.nodes {
            for output in node.outputs { map[output] = nil }
            graph.nodes.append(instance(of: node, prefix, &map, attributes))
        }
        for index in graph.outputs.indices { graph.outputs[index].name = map[graph.outputs[index].name] ?? graph.outputs[index].name }
        return graph
    }

    /// The name in the calling graph of a value that a function makes.
    private mutating func own(_ name: String, _ prefix: String, _ map: inout [String: String]) -> String {
        guard !name.isEmpty else { return "" }
        if let known = map[name] { return known }
        let new = names.fresh("\(prefix)/\(name)")
        map[name] = new
        return new
    }
}

extension Model {
    /// Version of the standard operator set, if the model imports it.
    fileprivate var standardOpset: Int? { opsets[""] ?? opsets["ai.onnx"] }
}

extension Node {
    /// Whether a subgraph holds sparse initializers, whose names cannot be changed.
    fileprivate var holdsSparse: Bool { subgraphs.contains { !$0.graph.sparseInitializerNames.isEmpty || $0.graph.nodes.contains(where: \.holdsSparse) } }
}
