/// How many scales a quantized tensor has and which elements each governs.
package struct ScaleLayout: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// One scale for all.
        case tensor
        /// One scale for each position along an axis (per output channel).
        case axis(Int)
        /// One scale for each run of `size` elements along an axis and for each position of all the other axes.
        case blocks(axis: Int, size: Int)
    }

    package let kind: Kind
    package let dims: [Int]
    /// Dimensions before, of, and after the axis.
    package let outer: Int
    package let length: Int
    package let inner: Int
    /// Elements of a block along the axis.
    package let blockSize: Int

    package init(_ kind: Kind, dims: [Int]) {
        self.kind = kind
        self.dims = dims
        let axis: Int
        switch kind {
        case .tensor:
            (outer, length, inner) = (1, dims.reduce(1, *), 1)
            blockSize = max(length, 1)
            return
        case .axis(let chosen):
            axis = chosen
            blockSize = 1
        case .blocks(let chosen, let size):
            axis = chosen
            blockSize = max(min(size, dims[chosen]), 1)
        }
        outer = dims[..<axis].reduce(1, *)
        length = dims[axis]
        inner = dims[(axis + 1)...].reduce(1, *)
    }

    /// Blocks along the axis; the last may be shorter.
    package var blockCount: Int { (length + blockSize - 1) / blockSize }

    /// Shape of the scale tensor as `DequantizeLinear` wants it.
    package var scaleDims: [Int] {
        switch kind {
        case .tensor: return []
        case .axis: return [length]
        case .blocks(let axis, _):
            var dims = dims
            dims[axis] = blockCount
            return dims
        }
    }

    package var scaleCount: Int { scaleDims.reduce(1, *) }

    /// Which scale governs the element at an offset.
    package func scaleIndex(of element: Int) -> Int {
        switch kind {
        case .tensor: return 0
        case .axis: return element / inner % length
        case .blocks:
            let position = element / inner % length
            return (element / (length * inner) * blockCount + position / blockSize) * inner + element % inner
        }
    }

    /// Contiguous elements that share a scale, or whose scales are contiguous too.
    package struct Run {
        package var offset: Int
        package var count: Int
        /// Index of the first element's scale.
        package var scale: Int
        /// Whether each element has a scale of its own, in order from `scale`.
        package var scalePerElement: Bool
    }

    /// Calls `body` with runs that together cover the tensor once, in memory order.
    package func forEachRun(_ body: (Run) -> Void) {
        switch kind {
        case .tensor:
            body(Run(offset: 0, count: length, scale: 0, scalePerElement: false))
        case .axis:
            for block in 0..<outer {
                let base = block * length * inner
                if inner == 1 {
                    body(Run(offset: base, count: length, scale: 0, scalePerElement: true))
                } else {
                    for position in 0..<length {
                        body(Run(offset: base + position * inner, count: inner, scale: position, scalePerElement: false))
                    }
                }
            }
        case .blocks:
            let blocks = blockCount
            for part in 0..<outer {
                let base = part * length * inner
                if inner == 1 {
                    for block in 0..<blocks {
                        let start = block * blockSize
                        body(
                            Run(
                                offset: base + start, count: min(blockSize, length - start), scale: part * blocks + block,
                                scalePerElement: false))
                    }
                } else {
                    for position in 0..<length {
                        body(
                            Run(
                                offset: base + position * inner, count: inner, scale: (part * blocks + position / blockSize) * inner,
                                scalePerElement: true))
                    }
                }
            }
        }
    }
}
