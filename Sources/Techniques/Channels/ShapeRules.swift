import ModelGraph

// Operators that move, join and cut dimensions.
extension ChannelTracer {
    func traceTranspose(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let rank = x.rank ?? site.node.ints("perm")?.count
        guard let rank else { return opaque(site) }
        let order = site.node.ints("perm") ?? Array((0..<rank).reversed())
        guard order.count == rank else { return opaque(site) }
        var axes: [Int: Int] = [:]
        var known: [Int: Int] = [:]
        for (position, from) in order.enumerated() {
            axes[position - rank] = x.axes[from - rank]
            known[position - rank] = extents[x.name]?[from - rank]
        }
        setOutput(site, axes: axes, rank: rank)
        if !known.isEmpty { extents[site.node.outputs[0]] = known }
    }

    func traceConcat(_ site: Site) {
        let operands = site.node.inputs.indices.compactMap { operand(site, $0) }
        let rank = operands.compactMap(\.rank).first
        guard operands.contains(where: { !$0.axes.isEmpty }) else { return setOutput(site, axes: [:], rank: rank) }
        guard let along = fromEnd(site.node.int("axis") ?? 1, rank: rank) else { return opaque(site) }
        var result: [Int: Int] = [:]
        for dimension in Set(operands.flatMap { $0.axes.keys }).sorted(by: >) where dimension != along {
            let first = operands.compactMap { $0.axes[dimension] }.first
            for other in operands { connect(first, other.axes[dimension], site) }
            result[dimension] = first
        }
        guard operands.contains(where: { $0.axes[along] != nil }) else { return setOutput(site, axes: result, rank: rank) }
        var joined: [Int32] = []
        for operand in operands {
            if let axis = operand.axes[along], !axes[axis].isBlocked {
                joined += axes[axis].channels
            } else if operand.axes[along] == nil, let count = extent(operand.name, along) {
                // Part of the dimension that cannot change; the rest may.
                let fixed = units.make(count)
                for channel in fixed { units.freeze(channel, because: "'\(operand.name)' cannot change") }
                joined += fixed
            } else {
                opaque(site, because: "\(site.title) joins it to '\(operand.name)', whose size is not known")
                return setOutput(site, axes: result, rank: rank)
            }
        }
        result[along] = newAxis(joined)
        setOutput(site, axes: result, rank: rank)
    }

    func traceSplit(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let outputs = site.node.outputs.indices
        func pass(_ axes: [Int: Int]) { for index in outputs { setOutput(site, index, axes: axes, rank: x.rank) } }
        guard !x.axes.isEmpty else { return pass([:]) }
        guard let along = fromEnd(site.node.int("axis") ?? 0, rank: x.rank) else { return opaque(site) }
        guard let axis = x.axes[along] else { return pass(x.axes) }
        var rest = x.axes
        rest[along] = nil
        let total = axes[axis].channels.count
        let equal = (total + outputs.count - 1) / outputs.count
        let declared = site.node.input(1) != nil ? constants(site, 1) : site.node.ints("split") ?? outputs.map { min(equal, total - $0 * equal) }
        guard let sizes = declared, sizes.count == outputs.count, sizes.allSatisfy({ $0 > 0 }), sizes.reduce(0, +) == total, !axes[axis].isBlocked else {
            freeze(axis: axis, because: "\(site.title) splits it in computed parts")
            return pass(rest)
        }
        var start = 0
        var parts: [Int] = []
        for (index, size) in zip(outputs, sizes) {
            parts.append(newAxis(Array(axes[axis].channels[start..<(start + size)])))
            start += size
            var own = rest
            own[along] = parts[index]
            setOutput(site, index, axes: own, rank: x.rank)
        }
        patch(.split(node: site.index, axes: parts))
    }

    func traceSlice(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard !x.axes.isEmpty else { return setOutput(site, axes: [:], rank: x.rank) }
        let asInputs = site.node.inputs.count > 1
        let starts = asInputs ? constants(site, 1) : site.node.ints("starts")
        let ends = asInputs ? constants(site, 2) : site.node.ints("ends")
        let listed = asInputs ? (site.node.input(3) == nil ? nil : constants(site, 3)) : site.node.ints("axes")
        let steps = asInputs && site.node.input(4) != nil ? constants(site, 4) : nil
        if asInputs, site.node.input(3) != nil, listed == nil { return opaque(site) }
        guard let rank = x.rank, let sliced = listed ?? starts.map({ Array($0.indices) }) else { return opaque(site) }
        var result = x.axes
        for (position, dimension) in sliced.enumerated() {
            guard let dimension = fromEnd(dimension, rank: rank), let axis = x.axes[dimension] else { continue }
            let total = axes[axis].channels.count
            guard let starts, let ends, starts.indices.contains(position), ends.indices.contains(position), !axes[axis].isBlocked,
                site.node.input(4) == nil || !asInputs || steps?[position] == 1
            else {
                freeze(axis: axis, because: "\(site.title) takes a computed part of it")
                result[dimension] = nil
                continue
            }
            func clamp(_ value: Int) -> Int { min(max(value < 0 ? value + total : value, 0), total) }
            let (start, end) = (clamp(starts[position]), clamp(ends[position]))
            if start == 0, end == total { continue }
            guard start < end else { return opaque(site) }
            result[dimension] = newAxis(Array(axes[axis].channels[start..<end]))
            if asInputs {
                patch(.element(node: site.index, input: 1, position: position, length: starts.count, axis: axis, limit: start))
                patch(.element(node: site.index, input: 2, position: position, length: ends.count, axis: axis, limit: end))
            } else {
                patch(.attributeElement(node: site.index, name: "starts", position: position, axis: axis, limit: start))
                patch(.attributeElement(node: site.index, name: "ends", position: position, axis: axis, limit: end))
            }
        }
        setOutput(site, axes: result, rank: rank)
    }

    func traceSqueeze(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let listed = site.node.input(1) != nil ? constants(site, 1) : site.node.ints("axes")
        guard !x.axes.isEmpty else { return setOutput(site, axes: [:], rank: listed.flatMap { removed in x.rank.map { $0 - removed.count } }) }
        guard let listed else { return opaque(site) }
        let removed = listed.compactMap { fromEnd($0, rank: x.rank) }
        guard removed.count == listed.count else { return opaque(site) }
        var axes: [Int: Int] = [:]
        for (dimension, axis) in x.axes { axes[dimension + removed.count { $0 > dimension }] = axis }
        setOutput(site, axes: axes, rank: x.rank.map { $0 - removed.count })
    }

    func traceUnsqueeze(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard let listed = site.node.input(1) != nil ? constants(site, 1) : site.node.ints("axes") else { return opaque(site) }
        guard let rank = x.rank.map({ $0 + listed.count }) else {
            return x.axes.isEmpty ? setOutput(site, axes: [:], rank: nil) : opaque(site)
        }
        let added = Set(listed.map { $0 < 0 ? $0 : $0 - rank })
        let kept = (-rank..<0).filter { !added.contains($0) }
        var axes: [Int: Int] = [:]
        for (position, dimension) in kept.enumerated() { axes[dimension] = x.axes[position - kept.count] }
        setOutput(site, axes: axes, rank: rank)
        extents[site.node.outputs[0]] = Dictionary(added.map { ($0, 1) }, uniquingKeysWith: { $1 })
    }

    /// Broadcasts to a shape: dimensions of extent 1 grow, others stay.
    func traceExpand(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard let shape = vector(site, 1) else {
            freeze(x.axes, because: "\(site.title) takes a computed shape")
            return setOutput(site, axes: [:], rank: nil)
        }
        var result = x.axes
        for (position, element) in shape.enumerated() {
            let dimension = position - shape.count
            switch (element, x.axes[dimension]) {
            case (.known(let count), let axis?) where count > 1:
                patch(.element(node: site.index, input: 1, position: position, length: shape.count, axis: axis, limit: axes[axis].channels.count))
                if axes[axis].isBlocked { freeze(axis: axis, because: "\(site.title) takes a fixed shape") }
            case (.known, _): break
            case (.extent(let target), let axis?): tie(target, axis, site)
            case (.extent(let target), nil):
                let isNew = x.rank.map { -dimension > $0 } ?? false
                if isNew || extent(x.name, dimension) == 1 {
                    result[dimension] = target
                } else {
                    freeze(axis: target, because: "\(site.title) depends on the number of its outputs")
                }
            case (.multiple(let target), let axis):
                freeze(axis: target, because: "\(site.title) depends on the number of its outputs")
                freeze(axis: axis, because: "\(site.title) takes a computed shape")
            case (_, let axis): freeze(axis: axis, because: "\(site.title) takes a computed shape")
            }
        }
        setOutput(site, axes: result, rank: x.rank.map { max($0, shape.count) })
    }

    func traceTile(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        var axes = x.axes
        for (dimension, axis) in x.axes {
            guard let repeats = constants(site, 1), repeats.indices.contains(repeats.count + dimension), repeats[repeats.count + dimension] == 1 else {
                freeze(axis: axis, because: "\(site.title) repeats it")
                axes[dimension] = nil
                continue
            }
        }
        setOutput(site, axes: axes, rank: x.rank)
    }

    func tracePad(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let pads = site.node.input(1) != nil ? constants(site, 1) : site.node.ints("pads")
        let listed = site.node.input(3) != nil ? constants(site, 3) : nil
        if site.node.input(3) != nil, listed == nil { return opaque(site) }
        var axes = x.axes
        for (dimension, axis) in x.axes {
            let count = listed?.count ?? x.rank ?? 0
            let place = listed.map { $0.firstIndex { fromEnd($0, rank: x.rank) == dimension } } ?? count + dimension
            guard let place else { continue }
            guard let pads, pads.count == 2 * count, place >= 0, pads[place] == 0, pads[place + count] == 0 else {
                freeze(axis: axis, because: "\(site.title) pads it")
                axes[dimension] = nil
                continue
            }
        }
        setOutput(site, axes: axes, rank: x.rank)
    }

    func traceResize(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard !x.axes.isEmpty else { return setOutput(site, axes: [:], rank: x.rank) }
        guard let rank = x.rank else { return opaque(site) }
        let resized = (site.node.ints("axes") ?? Array(0..<rank)).map { $0 < 0 ? $0 : $0 - rank }
        let modern = site.node.opType == "Resize" && model.opset >= 11
        let scales = modern ? constantTensor(site, 2)?.floats() : site.node.input(1) == nil ? scalesAttribute(site) : constantTensor(site, 1)?.floats()
        let sizes = modern && site.node.input(3) != nil ? vector(site, 3) : nil
        var axes = x.axes
        for (dimension, axis) in x.axes {
            guard let place = resized.firstIndex(of: dimension) else { continue }
            if let sizes, sizes.indices.contains(place) {
                switch sizes[place] {
                case .known(let count) where count == self.axes[axis].channels.count && !self.axes[axis].isBlocked:
                    patch(.element(node: site.index, input: 3, position: place, length: sizes.count, axis: axis, limit: count))
                    continue
                case .extent(let same):
                    tie(axis, same, site)
                    continue
                default: break
                }
            } else if let scales, scales.indices.contains(place), scales[place] == 1 {
                continue
            }
            freeze(axis: axis, because: "\(site.title) changes its size")
            axes[dimension] = nil
        }
        for (place, element) in (sizes ?? []).enumerated() where !resized.indices.contains(place) || axes[resized[place]] == nil {
            freeze(axis: element.axis, because: "\(site.title) depends on the number of its outputs")
        }
        setOutput(site, axes: axes, rank: rank)
    }

    private func scalesAttribute(_ site: Site) -> [Float]? {
        if case .floats(let values)? = site.node.attribute("scales") { return values }
        return nil
    }

    /// Channels become blocks of pixels: the channels that end up as one output channel are one unit.
    func traceDepthToSpace(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard let axis = x.axes[-3] else { return passUnlessTracked(site, x) }
        let blocks = (site.node.int("blocksize") ?? 1) * (site.node.int("blocksize") ?? 1)
        guard blocks > 0, axes[axis].channels.count % blocks == 0, !axes[axis].isBlocked, x.axes.count == 1 else { return opaque(site) }
        let outputs = axes[axis].channels.count / blocks
        let columnMajor = site.node.string("mode") == "CRD"
        mergeEqual(axis) { columnMajor ? $0 / blocks : $0 % outputs }
        let channels = (0..<outputs).map { axes[axis].channels[columnMajor ? $0 * blocks : $0] }
        setOutput(site, axes: outputs > 1 ? [-3: newAxis(channels)] : [:], rank: 4)
        if outputs == 1 { freeze(axis: axis, because: "\(site.title) makes one channel of it") }
    }

    func traceSpaceToDepth(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard let axis = x.axes[-3] else { return passUnlessTracked(site, x) }
        let blocks = (site.node.int("blocksize") ?? 1) * (site.node.int("blocksize") ?? 1)
        guard blocks > 0, !axes[axis].isBlocked, x.axes.count == 1 else { return opaque(site) }
        setOutput(site, axes: [-3: newAxis((0..<blocks).flatMap { _ in axes[axis].channels })], rank: 4)
    }

    private func passUnlessTracked(_ site: Site, _ x: Operand) {
        x.axes.isEmpty ? setOutput(site, axes: [:], rank: 4) : opaque(site)
    }

    /// A constant of computed shape, such as an initial state: its dimensions can follow those they are used with.
    func traceConstantOfShape(_ site: Site) {
        guard let shape = vector(site, 0) else { return setOutput(site, axes: [:], rank: nil) }
        var result: [Int: Int] = [:]
        for (position, element) in shape.enumerated() {
            let dimension = position - shape.count
            switch element {
            case .known(let count) where count > 1 && count <= 1 << 20:
                let axis = newAxis(units.make(count))
                patch(.element(node: site.index, input: 0, position: position, length: shape.count, axis: axis, limit: count))
                result[dimension] = axis
            case .extent(let axis): result[dimension] = axis
            case .multiple(let axis): freeze(axis: axis, because: "\(site.title) depends on the number of its outputs")
            default: break
            }
            if case .known(1) = element { extents[site.node.outputs[0], default: [:]][dimension] = 1 }
        }
        setOutput(site, axes: result, rank: shape.count)
    }
}
