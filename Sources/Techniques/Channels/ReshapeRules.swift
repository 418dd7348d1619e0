import ModelGraph

// Dimensions merged and split: Flatten and Reshape.
extension ChannelTracer {
    /// One dimension of a Reshape's input or output.
    private struct Extent {
        /// Position in the shape, from the front.
        var position: Int
        /// `nil` where it is not known.
        var count: Int?
    }

    func traceFlatten(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard !x.axes.isEmpty else { return setOutput(site, axes: [:], rank: 2) }
        guard let rank = x.rank else { return opaque(site) }
        let declared = site.node.int("axis") ?? 1
        let split = declared < 0 ? declared + rank : declared
        guard (0...rank).contains(split) else { return opaque(site) }
        let dimensions = inputExtents(x, rank)
        var output: [Int: Int] = [:]
        output[-2] = merge(Array(dimensions[..<split]), x, rank, site)
        output[-1] = merge(Array(dimensions[split...]), x, rank, site)
        setOutput(site, axes: output, rank: 2)
    }

    func traceReshape(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let name = site.node.outputs[0]
        guard let shape = vector(site, 1) else {
            let length = site.node.input(1).flatMap { extent($0, -1) }
            freeze(x.axes, because: "\(site.title) takes a computed shape")
            return setOutput(site, axes: [:], rank: length)
        }
        let keepsZero = site.node.int("allowzero") == 1
        for (position, element) in shape.enumerated() {
            if case .known(let count) = element, count > 0 { extents[name, default: [:]][position - shape.count] = count }
        }
        guard !x.axes.isEmpty || shape.contains(where: { $0.axis != nil }) else { return setOutput(site, axes: [:], rank: shape.count) }
        guard let rank = x.rank else {
            freeze(x.axes, because: "\(site.title) reshapes a value of unknown rank")
            for element in shape { freeze(axis: element.axis, because: "\(site.title) reshapes a value of unknown rank") }
            return setOutput(site, axes: [:], rank: shape.count)
        }
        let input = inputExtents(x, rank)
        let output = outputExtents(shape, input, x, rank, keepsZero: keepsZero, name: name)
        var reshape = Reshape(site: site, x: x, rank: rank, shape: shape, keepsZero: keepsZero, input: input, output: output)
        match(&reshape)
        for (dimension, axis) in x.axes where !reshape.followed.contains(dimension + rank) {
            freeze(axis: axis, because: "\(site.title) splits its outputs in a way that is not supported")
        }
        // A shape that follows an axis which is not the one that arrives there would go wrong.
        for (position, element) in shape.enumerated() {
            if let axis = element.axis, !reshape.confirmed.contains(position) {
                freeze(axis: axis, because: "\(site.title) depends on the number of its outputs")
            }
        }
        setOutput(site, axes: reshape.axes, rank: shape.count)
    }

    /// A Reshape being matched.
    private struct Reshape {
        let site: Site
        let x: Operand
        let rank: Int
        let shape: [ShapeElement]
        let keepsZero: Bool
        let input: [Extent]
        let output: [Extent]
        /// Axes of the output, from the end.
        var axes: [Int: Int] = [:]
        /// Input positions whose axis was carried over, and output positions whose element is right for the axis there.
        var followed = Set<Int>()
        var confirmed = Set<Int>()
    }

    private func inputExtents(_ x: Operand, _ rank: Int) -> [Extent] {
        (0..<rank).map { Extent(position: $0, count: extent(of: x, $0 - rank)) }
    }

    private func outputExtents(
        _ shape: [ShapeElement], _ input: [Extent], _ x: Operand, _ rank: Int, keepsZero: Bool, name: String
    ) -> [Extent] {
        var inferred: Int?
        var result = shape.enumerated().map { position, element -> Extent in
            switch element {
            case .known(-1):
                inferred = position
                return Extent(position: position, count: nil)
            case .known(0) where !keepsZero:
                return Extent(position: position, count: input.indices.contains(position) ? input[position].count : nil)
            // More than that no tensor holds.
            case .known(let count): return Extent(position: position, count: (0...(1 << 40)).contains(count) ? count : nil)
            case .extent(let axis): return Extent(position: position, count: axes[axis].isBlocked ? nil : axes[axis].channels.count)
            case .dimension(let value, let dimension):
                return Extent(position: position, count: value == x.name ? extent(of: x, dimension) : extent(value, dimension) ?? probed(name, position, shape.count))
            case .multiple, .free: return Extent(position: position, count: probed(name, position, shape.count))
            }
        }
        if let inferred {
            let total = Self.product(input.map(\.count))
            let others = Self.product(result.enumerated().filter { $0.offset != inferred }.map(\.element.count))
            if let total, let others, others > 0, total % others == 0 { result[inferred].count = total / others }
        }
        return result
    }

    /// `nil` where a count is not known, or where there are more elements than an integer counts.
    private static func product(_ counts: [Int?]) -> Int? {
        counts.reduce(Int?(1)) { total, count in
            guard let total, let count else { return nil }
            let (product, overflows) = total.multipliedReportingOverflow(by: count)
            return overflows ? nil : product
        }
    }

    private func probed(_ name: String, _ position: Int, _ rank: Int) -> Int? {
        guard let shape = shapes[name], shape.count == rank else { return nil }
        return shape[position]
    }

    /// Pairs runs of input dimensions with runs of output dimensions that hold the same elements: equal dimensions at the
    /// front, runs of equal product from the end, and what is left between.
    private func match(_ reshape: inout Reshape) {
        var front = 0
        while front < min(reshape.input.count, reshape.output.count), same(front, reshape) {
            join([reshape.input[front]], [reshape.output[front]], &reshape)
            front += 1
        }
        var inputEnd = reshape.input.count
        var outputEnd = reshape.output.count
        while inputEnd > front, outputEnd > front {
            var (i, o) = (inputEnd - 1, outputEnd - 1)
            guard var left = reshape.input[i].count, var right = reshape.output[o].count, left > 0, right > 0 else { break }
            while left != right {
                if left < right {
                    guard i > front, let more = reshape.input[i - 1].count, more > 0 else { break }
                    let (product, overflows) = left.multipliedReportingOverflow(by: more)
                    guard !overflows else { break }
                    i -= 1
                    left = product
                } else {
                    guard o > front, let more = reshape.output[o - 1].count, more > 0 else { break }
                    let (product, overflows) = right.multipliedReportingOverflow(by: more)
                    guard !overflows else { break }
                    o -= 1
                    right = product
                }
            }
            guard left == right else { break }
            join(Array(reshape.input[i..<inputEnd]), Array(reshape.output[o..<outputEnd]), &reshape)
            (inputEnd, outputEnd) = (i, o)
        }
        join(Array(reshape.input[front..<inputEnd]), Array(reshape.output[front..<outputEnd]), &reshape)
    }

    /// Whether input and output dimension `position` are one and the same, all before them being so.
    private func same(_ position: Int, _ reshape: Reshape) -> Bool {
        let dimension = position - reshape.rank
        switch reshape.shape[position] {
        case .known(0) where !reshape.keepsZero: return true
        case .dimension(let value, dimension) where value == reshape.x.name: return true
        case .extent(let axis):
            guard let own = reshape.x.axes[dimension] else { return false }
            return sameChannels(axis, own)
        default:
            guard let a = reshape.input[position].count, let b = reshape.output[position].count else { return false }
            return a == b
        }
    }

    private func sameChannels(_ a: Int, _ b: Int) -> Bool {
        if a == b { return true }
        let (one, two) = (axes[a], axes[b])
        guard one.isBlocked == two.isBlocked, one.channels.count == two.channels.count else { return false }
        return zip(one.channels, two.channels).allSatisfy { units.root(of: $0) == units.root(of: $1) }
    }

    /// Carries the axis of a run of input dimensions over to a run of output dimensions with the same elements.
    private func join(_ input: [Extent], _ output: [Extent], _ reshape: inout Reshape) {
        guard let source = carried(input, reshape.x, reshape.rank, reshape.site), let axis = reshape.x.axes[source.position - reshape.rank] else { return }
        let sources = input.filter { $0.count != 1 }
        let targets = output.filter { $0.count != 1 }
        guard let target = targets.count == 1 ? targets.first : carrier(of: targets, source, reshape) else { return }
        let result: Int?
        if targets.count == 1 {
            result = merge(sources, reshape.x, reshape.rank, reshape.site)
        } else {
            guard sources.count == 1, !axes[axis].isBlocked else { return }
            result = splitting(axis, targets, target)
        }
        guard let result, keeps(target.position, result, axis, &reshape) else { return }
        reshape.axes[target.position - reshape.shape.count] = result
        reshape.followed.insert(source.position)
    }

    /// The dimension of a run whose axis is carried on: the first that has one. (Of a constant all have; channels stand
    /// before the image.) The others must stay.
    private func carried(_ run: [Extent], _ x: Operand, _ rank: Int, _ site: Site) -> Extent? {
        let carrying = run.filter { x.axes[$0.position - rank] != nil }
        for other in carrying.dropFirst() {
            freeze(axis: x.axes[other.position - rank], because: "\(site.title) merges it with other dimensions that could change")
        }
        return carrying.first
    }

    /// Which part of a split dimension stands for channels: the first if the last dimension of the input is split (features into heads:
    /// whole heads go), but the second of three where queries, keys and values stand one behind the other; else the longest (channels into
    /// groups: the same place in all groups).
    private func carrier(of targets: [Extent], _ source: Extent, _ reshape: Reshape) -> Extent? {
        if source.position == reshape.rank - 1 {
            let isStacked = targets.count == 3 && [2, 3].contains(targets[0].count) && ![2, 3].contains(targets[1].count)
            return isStacked ? targets[1] : targets.first
        }
        return targets.max { ($0.count ?? 0, $0.position) < ($1.count ?? 0, $1.position) }
    }

    /// The axis that several dimensions merged into one have; `nil` (and nothing to carry) if none has an axis. Freezes
    /// what cannot be carried.
    private func merge(_ dimensions: [Extent], _ x: Operand, _ rank: Int, _ site: Site) -> Int? {
        guard let source = carried(dimensions, x, rank, site), let axis = x.axes[source.position - rank],
            let place = dimensions.firstIndex(where: { $0.position == source.position })
        else { return nil }
        func product(_ part: ArraySlice<Extent>) -> Int? { Self.product(part.map(\.count)) }
        guard let outer = product(dimensions[..<place]) else {
            freeze(axis: axis, because: "\(site.title) merges it with dimensions of unknown size")
            return nil
        }
        let inner = product(dimensions[(place + 1)...])
        if outer == 1, inner == 1 { return axis }
        guard let inner, !axes[axis].isBlocked else {
            // The length of the runs is unknown; only runs of whole channels can be told apart later.
            guard outer == 1 else {
                freeze(axis: axis, because: "\(site.title) merges it with dimensions of unknown size")
                return nil
            }
            return newAxis(axes[axis].channels, blocked: true)
        }
        let run = axes[axis].channels.flatMap { [Int32](repeating: $0, count: inner) }
        return newAxis((0..<outer).flatMap { _ in run })
    }

    /// The axis of one part of a split dimension: channels at the same index along it become one unit.
    private func splitting(_ axis: Int, _ parts: [Extent], _ carrier: Extent) -> Int? {
        var known = parts
        let total = axes[axis].channels.count
        if let unknown = known.firstIndex(where: { $0.count == nil }) {
            let others = known.reduce(1) { $0 &* ($1.count ?? 1) }
            guard known.count(where: { $0.count == nil }) == 1, others > 0, total % others == 0 else { return nil }
            known[unknown].count = total / others
        }
        guard let place = known.firstIndex(where: { $0.position == carrier.position }), let count = known[place].count, count > 1,
            known.reduce(1, { $0 &* ($1.count ?? 1) }) == total
        else { return nil }
        let inner = known[(place + 1)...].reduce(1) { $0 &* ($1.count ?? 1) }
        guard inner > 0, (count - 1) * inner < total else { return nil }
        mergeEqual(axis) { ($0 / inner) % count }
        return newAxis((0..<count).map { axes[axis].channels[$0 * inner] })
    }

    /// Makes sure that the shape's element for an output dimension will be right for its axis after a cut; `false` if it cannot be.
    private func keeps(_ position: Int, _ result: Int, _ source: Int, _ reshape: inout Reshape) -> Bool {
        switch reshape.shape[position] {
        case .known(-1):
            break
        case .known(0) where !reshape.keepsZero:
            // Copies the input's dimension, which must be the one that was carried here.
            guard let copied = reshape.x.axes[position - reshape.rank], copied == source, result == source else { return false }
        case .known(let count):
            let limit = axes[result].channels.count
            guard !axes[result].isBlocked, count == limit else { return false }
            patch(.element(node: reshape.site.index, input: 1, position: position, length: reshape.shape.count, axis: result, limit: limit))
        case .extent(let axis), .multiple(let axis):
            guard sameChannels(axis, source) else { return false }
            reshape.confirmed.insert(position)
        case .dimension, .free:
            return false
        }
        return true
    }
}
