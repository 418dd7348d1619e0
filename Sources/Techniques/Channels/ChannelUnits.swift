import ModelGraph

/// Disjoint sets of channels that must be removed together, with the reason why some must not be removed at all.
///
/// A channel is one index of one dimension that some weight gives a model. Following the graph merges channels: those
/// of a convolution's filters with those of the normalization behind it, those on both sides of an addition. What is
/// left are *units*: the smallest things that can be taken out of the model.
struct ChannelUnits {
    /// Union-find forest; roots point to themselves.
    private var parent: [Int32] = []
    /// For roots: index into `reasons` if the set must stay, -1 if it may go.
    private var frozen: [Int32] = []
    private(set) var reasons: [String] = []
    private var reasonIndex: [String: Int32] = [:]

    var count: Int { parent.count }

    /// New channels, each a set of its own.
    mutating func make(_ count: Int) -> [Int32] {
        let first = Int32(parent.count)
        let fresh = (0..<Int32(count)).map { first + $0 }
        parent += fresh
        frozen += [Int32](repeating: -1, count: count)
        return fresh
    }

    mutating func root(of channel: Int32) -> Int32 {
        var current = channel
        while parent[Int(current)] != current {
            // Halving the path keeps later searches short.
            parent[Int(current)] = parent[Int(parent[Int(current)])]
            current = parent[Int(current)]
        }
        return current
    }

    /// Makes two channels one unit. The lower number becomes the root, so that the outcome does not depend on the
    /// order of merging; a frozen set freezes the other.
    mutating func merge(_ a: Int32, _ b: Int32) {
        let a = root(of: a)
        let b = root(of: b)
        guard a != b else { return }
        let (low, high) = a < b ? (a, b) : (b, a)
        parent[Int(high)] = low
        if frozen[Int(low)] < 0 { frozen[Int(low)] = frozen[Int(high)] }
    }

    mutating func freeze(_ channel: Int32, because reason: String) {
        let root = Int(root(of: channel))
        guard frozen[root] < 0 else { return }
        if reasonIndex[reason] == nil {
            reasonIndex[reason] = Int32(reasons.count)
            reasons.append(reason)
        }
        frozen[root] = reasonIndex[reason] ?? 0
    }

    /// Why a channel must stay; `nil` if it may go.
    mutating func reason(for channel: Int32) -> String? {
        let index = frozen[Int(root(of: channel))]
        return index < 0 ? nil : reasons[Int(index)]
    }
}

/// The channels along one dimension of a value or of a weight.
struct ChannelAxis {
    /// Channel of each index.
    var channels: [Int32]
    /// Each channel stands for a run of indices of one length that is not known yet: a dimension made by flattening
    /// over an image whose size the file does not tell. The weight that reads it settles the length.
    var isBlocked = false
}

/// An initializer, by the graph that owns it.
package struct TensorKey: Hashable, Sendable {
    var path: GraphPath
    var name: String
}

/// One place where a node reads an initializer.
struct TensorUse: Hashable, Sendable {
    var path: GraphPath
    var node: Int
    var input: Int
}

/// What must follow in a node when channels go.
enum ChannelPatch {
    /// An integer attribute equals the extent of an axis: `group`, `hidden_size`.
    case attribute(node: Int, name: String, axis: Int)
    /// Element `position` of the vector of `length` integers read as input `input` equals the number of channels among
    /// the first `limit` of an axis.
    case element(node: Int, input: Int, position: Int, length: Int, axis: Int, limit: Int)
    /// The same for an attribute that holds integers.
    case attributeElement(node: Int, name: String, position: Int, axis: Int, limit: Int)
    /// The parts of a Split are as long as these axes.
    case split(node: Int, axes: [Int])
}
