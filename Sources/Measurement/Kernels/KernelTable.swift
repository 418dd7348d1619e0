import Foundation

/// Times of kernels on this machine with this runtime, and what they say about others.
package struct KernelTable: Sendable {
    private struct Entry: Sendable {
        var kernel: Kernel
        var milliseconds: Double
        var place: Place
    }

    /// Where a kernel lies among others: logarithms to the base 2.
    private struct Place: Sendable {
        var inputs: Double
        var outputs: Double
        var positions: Double
        var window: Double
        /// One input channel for each output.
        var isDepthwise: Bool
        var isStrided: Bool
        var macs: Double

        init(_ kernel: Kernel) {
            inputs = log2(Double(max(kernel.inputs / max(kernel.group, 1), 1)))
            outputs = log2(Double(max(kernel.outputs, 1)))
            positions = log2(Double(max(kernel.positions, 1)))
            window = log2(Double(max(kernel.windowElements, 1)))
            isDepthwise = kernel.group > 1 && kernel.group == kernel.inputs
            isStrided = kernel.strides.contains { $0 > 1 }
            macs = log2(max(kernel.macs, 1))
        }

        func distance(to other: Place) -> Double {
            abs(inputs - other.inputs) + abs(outputs - other.outputs) + 0.7 * abs(positions - other.positions) + 1.5 * abs(window - other.window)
                + (isDepthwise == other.isDepthwise ? 0 : 6) + (isStrided == other.isStrided ? 0 : 0.3)
        }
    }

    private struct Class: Hashable, Sendable {
        var operation: Kernel.Operation
        var form: KernelForm
        /// In the runtime's plain layout, where float convolutions take another time altogether.
        var isUnblocked: Bool

        init(_ kernel: Kernel) {
            (operation, form) = (kernel.operation, kernel.form)
            isUnblocked = kernel.form == .float && kernel.isUnblocked
        }
    }

    private var entries: [Class: [Entry]] = [:]
    private var known: [Kernel: Double] = [:]

    package init() {}

    package var count: Int { known.count }

    package func contains(_ kernel: Kernel) -> Bool { known[kernel] != nil }

    /// Keeps a time; a better look at a kernel takes the place of an earlier one.
    package mutating func insert(_ kernel: Kernel, milliseconds: Double) {
        guard milliseconds > 0, milliseconds.isFinite else { return }
        let name = Class(kernel)
        if known.updateValue(milliseconds, forKey: kernel) != nil { entries[name]?.removeAll { $0.kernel == kernel } }
        entries[name, default: []].append(Entry(kernel: kernel, milliseconds: milliseconds, place: Place(kernel)))
    }

    /// How time grows with work: a little slower, as small kernels use the machine less well.
    private static let exponent = 0.9
    private static let neighbors = 3

    /// Milliseconds of a kernel: as timed, or from the nearest that were, scaled by their work.
    /// - Returns: `nil` where no kernel of its kind was timed in its form.
    package func milliseconds(_ kernel: Kernel) -> Double? {
        if let exact = known[kernel] { return exact }
        var name = Class(kernel)
        if entries[name] == nil { name.isUnblocked.toggle() }
        guard let candidates = entries[name], !candidates.isEmpty else { return nil }
        let place = Place(kernel)
        var nearest: [(distance: Double, logTime: Double)] = []
        for entry in candidates {
            let distance = place.distance(to: entry.place)
            if nearest.count == Self.neighbors, let worst = nearest.last, distance >= worst.distance { continue }
            let scaled = log2(entry.milliseconds) + Self.exponent * (place.macs - entry.place.macs)
            let at = nearest.firstIndex { $0.distance > distance } ?? nearest.count
            nearest.insert((distance, scaled), at: at)
            if nearest.count > Self.neighbors { nearest.removeLast() }
        }
        var (sum, weights) = (0.0, 0.0)
        for (distance, time) in nearest {
            let weight = 1 / (0.05 + distance * distance)
            sum += weight * time
            weights += weight
        }
        return exp2(sum / weights)
    }
}
