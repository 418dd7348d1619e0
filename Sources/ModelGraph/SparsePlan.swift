/// Which initializers of a graph are stored sparsely, in which form, and which of them together: each node that decodes costs loading time and bytes, so
/// that tensors of one kind share them.
struct SparsePlan {
    /// Initializers that are stored in one form together.
    struct Unit {
        var members: [SparseElements]
        /// The values of each member that its codes stand for; empty where values stand for themselves.
        var codebooks: [[UInt64]] = []
        /// Bits of a code; of an element where values stand for themselves.
        var valueBits: Int
        /// Bits of a distance; 0 for a `sparse_initializer` of a single member.
        var gapBits: Int
        /// Bytes of each member in the file, decoding nodes apart.
        var shares: [(name: String, bytes: Int)] = []

        var isIndexed: Bool { gapBits == 0 }
        /// Elements of all members.
        var total: Int { members.reduce(0) { $0 + $1.tensor.count } }
    }

    private(set) var units: [Unit] = []

    /// Rough bytes of a decoding node with its names, and of an initializer beside its elements.
    private static let nodeBytes = 40, initializerBytes = 24
    /// Elements of tensors that are decoded together at most; larger ones are decoded alone, since taking them apart again copies them once more.
    private static let mostTogether = 1 << 16
    /// Bytes for which distances are taken apart below eight bits, where they are not a tenth of all.
    private static let leastGain = 1 << 16
    /// Bytes of memory for each byte of file that reading takes for granted.
    static let greatestExpansion = 1024

    private struct Kind: Hashable {
        var type: ElementType
        var fill: UInt64
        /// Bits of a code; 0 for values that stand for themselves.
        var codeBits: Int
    }

    init(_ graph: Graph, opset: Int) {
        var kinds: [Kind] = []
        var groups: [Kind: [(elements: SparseElements, codebook: [UInt64])]] = [:]
        var alone: [SparseElements] = []
        for (name, tensor) in graph.initializers {
            guard let form = graph.sparseForms[name], graph.canBeSparse(name) else { continue }
            let elements = SparseElements(tensor)
            if form == .indices {
                units.append(Self.indexed(elements))
                continue
            }
            // Sums and bfloat16 that scatters came with these operator sets.
            guard opset >= (tensor.elementType == .bfloat16 ? 13 : 11) else {
                if form == .smallest { alone.append(elements) }
                continue
            }
            let (bits, codebook) = Self.values(of: elements)
            let stored = elements.count * (bits + 4) / 8 + codebook.count * elements.width + 2 * Self.nodeBytes
            guard stored < tensor.storage.byteCount else { continue }
            let kind = Kind(type: tensor.elementType, fill: elements.fill, codeBits: codebook.isEmpty ? 0 : bits)
            if groups[kind] == nil { kinds.append(kind) }
            groups[kind, default: []].append((elements, codebook))
        }
        for kind in kinds {
            for part in Self.parts(groups[kind] ?? []) {
                let dense = part.reduce(0) { $0 + $1.elements.tensor.storage.byteCount }
                let members = part.map(\.elements)
                if let unit = Self.together(members, kind.codeBits == 0 ? [] : part.map(\.codebook), kind), unit.cost < dense,
                    dense <= Self.greatestExpansion * unit.unit.shares.reduce(0, { $0 + $1.bytes }) + 1 << 24
                {
                    units.append(unit.unit)
                } else {
                    alone += members.filter { graph.sparseForms[$0.tensor.name] == .smallest }
                }
            }
        }
        for elements in alone {
            let unit = Self.indexed(elements)
            if unit.shares[0].bytes + 2 * Self.initializerBytes < elements.tensor.storage.byteCount { units.append(unit) }
        }
    }

    private static func indexed(_ elements: SparseElements) -> Unit {
        // What is left out of a sparse_initializer is zero.
        var count = elements.count
        if elements.fill != 0 {
            count = 0
            for position in 0..<elements.tensor.count where elements.pattern(position) != 0 { count += 1 }
        }
        return Unit(members: [elements], valueBits: 8 * elements.width, gapBits: 0, shares: [(elements.tensor.name, count * (elements.width + 8))])
    }

    /// Codes of few bits for values that recur, where they take less room; the bits of a value, and what codes stand for.
    private static func values(of elements: SparseElements) -> (bits: Int, codebook: [UInt64]) {
        let plain = 8 * elements.width
        guard let codebook = elements.codebook() else { return (plain, []) }
        var bits = 1
        while 1 << bits < codebook.count { bits += 1 }
        let coded = elements.count * bits / 8 + codebook.count * elements.width + nodeBytes + initializerBytes
        return bits < plain && coded < elements.count * elements.width ? (bits, codebook) : (plain, [])
    }

    private static func parts<Member>(_ members: [(elements: SparseElements, codebook: Member)]) -> [[(elements: SparseElements, codebook: Member)]] {
        var parts: [[(elements: SparseElements, codebook: Member)]] = []
        var gathered: [(elements: SparseElements, codebook: Member)] = []
        var total = 0
        for member in members {
            let count = member.elements.tensor.count
            if count > mostTogether {
                parts.append([member])
                continue
            }
            if total + count > mostTogether {
                parts.append(gathered)
                (gathered, total) = ([], 0)
            }
            gathered.append(member)
            total += count
        }
        return gathered.isEmpty ? parts : parts + [gathered]
    }

    /// Members in one stream of distances, whose width is the one that takes the fewest bytes.
    private static func together(_ members: [SparseElements], _ codebooks: [[UInt64]], _ kind: Kind) -> (unit: Unit, cost: Int)? {
        let valueBits = kind.codeBits == 0 ? 8 * members[0].width : kind.codeBits
        var unit = Unit(members: members, codebooks: codebooks, valueBits: valueBits, gapBits: 8)
        let distances = SparseStream.distances(members)
        var best = Int.max
        for bits in (2...8).reversed() {
            let count = distances.count + SparseElements.fillers(distances, bits: bits)
            let padded = (count + 7) / 8 * 8
            let stored = padded * bits / 8 + (padded * valueBits + 7) / 8 + unpackingBytes(bits) + (codebooks.isEmpty ? 0 : unpackingBytes(valueBits))
            // Taking bytes apart costs loading time, which a few bytes are not worth.
            let isWorth = unit.gapBits < 8 || best - min(best / 10, leastGain) > stored
            if stored < best, best == .max || isWorth { (best, unit.gapBits) = (stored, bits) }
        }
        guard best < Int.max else { return nil }
        let books = codebooks.reduce(0) { $0 + $1.count * members[0].width + initializerBytes + nodeBytes }
        let entries = max(distances.count + SparseElements.fillers(distances, bits: unit.gapBits), 1)
        let kept = max(members.reduce(0) { $0 + $1.count }, 1)
        for (number, member) in members.enumerated() {
            // Fillers count where there are elements.
            let own = Double(member.count) * Double(entries) / Double(kept)
            let book = codebooks.isEmpty ? 0 : codebooks[number].count * member.width
            unit.shares.append((member.tensor.name, Int((own * Double(unit.gapBits + valueBits) / 8).rounded(.up)) + book))
        }
        let frame = 4 * nodeBytes + 3 * initializerBytes + members.count * (nodeBytes + initializerBytes + 8 * (members.first?.tensor.dims.count ?? 1))
        // Of large tensors the distances are found again when they are written.
        if let only = members.first, members.count == 1, only.tensor.count > mostTogether { unit.members = [only.withoutDistances] }
        return (unit, best + books + frame)
    }

    /// Rough bytes of what unpacks codes of a width.
    private static func unpackingBytes(_ bits: Int) -> Int {
        bits >= 8 ? nodeBytes : BitPlanes.planes(bits: bits).reduce(nodeBytes) { $0 + 5 * nodeBytes + initializerBytes + 32 * (8 / $1.width) }
    }
}
