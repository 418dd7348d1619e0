import ModelGraph

/// How a convolution or pooling moves its window: dimensions by spatial axis, two of them always (one-dimensional inputs get a
/// height of 1).
struct WindowGeometry: Sendable {
    var kernel: [Int]
    var strides: [Int]
    var dilations: [Int]
    /// Zeros put before and after each axis.
    var before: [Int]
    var after: [Int]
    /// Dimensions of input and output.
    var input: [Int]
    var output: [Int]
    /// Whether the tensors have one spatial axis, so that a height of 1 is put in.
    var isFlat: Bool

    /// - Throws: `DifferentiationError` for three spatial axes and more.
    init(_ node: Node, kernel: [Int], input: [Int], output: [Int]) throws {
        let rank = input.count - 2
        guard (1...2).contains(rank) else { throw DifferentiationError("\(rank) spatial axes") }
        isFlat = rank == 1
        let one = isFlat ? [1] : []
        let zero = isFlat ? [0] : []
        self.kernel = one + kernel
        strides = one + (node.ints("strides") ?? Array(repeating: 1, count: rank))
        dilations = one + (node.ints("dilations") ?? Array(repeating: 1, count: rank))
        self.input = one + input.dropFirst(2)
        self.output = one + output.dropFirst(2)
        let pads = node.ints("pads") ?? Array(repeating: 0, count: 2 * rank)
        before = zero + pads[..<rank]
        after = zero + pads[rank...]
        let automatic = node.string("auto_pad") ?? "NOTSET"
        if automatic.hasPrefix("SAME") {
            for axis in 0..<2 {
                let total = max((self.output[axis] - 1) * strides[axis] + span(axis) - self.input[axis], 0)
                before[axis] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2
                after[axis] = total - before[axis]
            }
        } else if automatic == "VALID" {
            (before, after) = ([0, 0], [0, 0])
        }
    }

    /// Extent of the dilated window.
    func span(_ axis: Int) -> Int { (kernel[axis] - 1) * dilations[axis] + 1 }

    /// Rows or columns behind the padded input that windows reach beyond it (pooling that rounds up); negative where some are
    /// never reached.
    func overhang(_ axis: Int) -> Int { (output[axis] - 1) * strides[axis] + span(axis) - (input[axis] + before[axis] + after[axis]) }

    var hasPads: Bool { before != [0, 0] || after != [0, 0] }

    /// Shape of the input with both spatial axes.
    func planar(_ shape: [Int]) -> [Int] { isFlat ? [shape[0], shape[1], 1, shape[2]] : shape }

    /// All places of the window, row by row.
    var places: [(row: Int, column: Int)] { (0..<kernel[0]).flatMap { row in (0..<kernel[1]).map { (row, $0) } } }

    /// What each window sees at one place: a strided slice of the padded input, of the output's dimensions, on the given axes.
    func slice(_ padded: String, at place: (row: Int, column: Int), axes: [Int], _ b: inout GradientBuilder) throws -> String {
        let starts = [place.row * dilations[0], place.column * dilations[1]]
        let ends = (0..<2).map { (axis: Int) -> Int in starts[axis] + (output[axis] - 1) * strides[axis] + 1 }
        return try b.slice(padded, axes: axes, starts: starts, ends: ends, steps: strides)
    }
}
