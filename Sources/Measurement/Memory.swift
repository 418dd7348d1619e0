import Foundation
import ModelGraph

/// Memory a model needs at inference, from shapes and the order of nodes.
public enum ActivationMemory {
    /// Largest sum of bytes of intermediate values alive at once when nodes run in graph order, a value living from
    /// its producer to its last reader. Inputs and outputs of the model count; weights do not.
    public static func peakBytes(of graph: Graph, shapes: ValueShapes) -> Int? {
        guard !shapes.values.isEmpty else { return nil }
        // What is computed from constants alone is folded at load and counts as weights, but for weights that are dequantized in every run.
        let constants = graph.constantNames().subtracting(graph.dequantizedAtRun())
        func size(_ name: String) -> Int { constants.contains(name) ? 0 : shapes[name]?.byteCount ?? 0 }
        var lastUse: [String: Int] = [:]
        for (index, node) in graph.nodes.enumerated() {
            for name in node.inputs where graph.initializers[name] == nil { lastUse[name] = index }
            for (_, body) in node.subgraphs { for name in body.capturedNames() where graph.initializers[name] == nil { lastUse[name] = index } }
        }
        for output in graph.outputs { lastUse[output.name] = graph.nodes.count }
        var live = 0
        for input in graph.requiredInputs { live += size(input.name) }
        var peak = live
        for (index, node) in graph.nodes.enumerated() {
            for output in node.outputs { live += size(output) }
            peak = max(peak, live)
            for name in Set(node.inputs).union(node.outputs) where !name.isEmpty && graph.initializers[name] == nil {
                let dies = lastUse[name].map { $0 == index } ?? node.outputs.contains(name)
                if dies { live -= size(name) }
            }
        }
        return peak
    }
}

extension Graph {
    /// Initializers and all values computed from them alone.
    package func constantNames() -> Set<String> {
        var constants = Set(initializers.keys).subtracting(inputs.map(\.name)).union(sparseInitializerNames)
        for node in nodes where !node.inputs.isEmpty && node.subgraphs.isEmpty && node.inputs.allSatisfy({ $0.isEmpty || constants.contains($0) }) {
            constants.formUnion(node.outputs)
        }
        return constants
    }

    /// Float weights that ONNX Runtime makes anew from integers in every run: it folds all constants but these, and computes in integers
    /// only where the activations are dequantized as well, or in blocks (MatMulNBits).
    func dequantizedAtRun() -> Set<String> {
        let constants = constantNames()
        let dequantized = Set(nodes.filter { $0.isStandard("DequantizeLinear") }.flatMap(\.outputs))
        let made = Set(
            nodes.filter { $0.isStandard("DequantizeLinear") && ($0.int("block_size") ?? 0) == 0 && $0.inputs.allSatisfy { $0.isEmpty || constants.contains($0) } }.flatMap(
                \.outputs))
        var result: Set<String> = []
        for node in nodes where !node.inputs.contains(where: { dequantized.contains($0) && !constants.contains($0) }) {
            result.formUnion(node.inputs.filter { made.contains($0) })
        }
        return result
    }

    /// Bytes of the constants that are kept after loading: ONNX Runtime computes what follows from constants once and keeps the results,
    /// so that a weight stored as indices and a codebook is there in full.
    /// - Parameter shapes: of values that are computed; where one is not known, what it is made of counts.
    func residentWeightBytes(_ shapes: ValueShapes?) -> Int {
        var source: [String: Int] = initializers.mapValues(\.storage.byteCount).reduce(into: [:]) { $0[$1.key] = $1.value }
        var folded: Set<Int> = []
        for (index, node) in nodes.enumerated() {
            guard !node.inputs.isEmpty, node.subgraphs.isEmpty, !node.isStandard("DequantizeLinear"), !node.outputs.isEmpty,
                node.inputs.allSatisfy({ $0.isEmpty || source[$0] != nil }), !inputs.contains(where: { node.inputs.contains($0.name) })
            else { continue }
            let known = node.outputs.filter { !$0.isEmpty }.map { ($0, shapes?[$0]?.byteCount) }
            guard known.allSatisfy({ $0.1 != nil }) else { continue }
            folded.insert(index)
            for (name, bytes) in known { source[name] = bytes }
        }
        var kept: Set<String> = Set(outputs.map(\.name))
        for (index, node) in nodes.enumerated() where !folded.contains(index) {
            kept.formUnion(node.inputs)
            for (_, body) in node.subgraphs { kept.formUnion(body.capturedNames()) }
        }
        return kept.reduce(0) { $0 + (source[$1] ?? 0) }
    }
}

/// Data caches of this machine.
public struct CacheSizes: Sendable {
    /// Bytes of one core's L2 and of the L3 it shares; `nil` where the system does not say.
    public var level2: Int?
    public var level3: Int?

    public static let current: CacheSizes = {
        var sizes = CacheSizes()
        for index in 0..<8 {
            let folder = "/sys/devices/system/cpu/cpu0/cache/index\(index)/"
            func read(_ name: String) -> String? {
                (try? String(contentsOfFile: folder + name, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
            }
            guard let level = read("level"), let type = read("type"), type != "Instruction", let text = read("size") else { continue }
            let unit = text.hasSuffix("M") ? 1 << 20 : text.hasSuffix("K") ? 1 << 10 : 1
            guard let number = Int(text.filter(\.isNumber)) else { continue }
            if level == "2" { sizes.level2 = number * unit }
            if level == "3" { sizes.level3 = number * unit }
        }
        return sizes
    }()

    /// The smallest cache that holds `bytes`: `L2`, `L3` or `DRAM`; `nil` where the system does not tell cache sizes.
    public func home(of bytes: Double) -> String? {
        guard level2 != nil || level3 != nil else { return nil }
        if let level2, bytes <= Double(level2) { return "L2" }
        if let level3, bytes <= Double(level3) { return "L3" }
        return "DRAM"
    }
}
