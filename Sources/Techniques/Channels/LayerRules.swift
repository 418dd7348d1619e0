import ModelGraph

// Operators that hold weights.
extension ChannelTracer {
    /// Weight [outputs, inputs / group, kernel…]; channels of values in dimension 1.
    func traceConv(_ site: Site) {
        guard let x = operand(site, 0), let w = operand(site, 1), let rank = w.rank, rank >= 3 else { return opaque(site) }
        let channel = 1 - rank
        let group = max(site.node.int("group") ?? 1, 1)
        freezeSpatial(x, channel, site)
        guard let outputs = extent(of: w, -rank), let perGroup = extent(of: w, channel), outputs % group == 0 else { return opaque(site) }
        let filters = w.axes[-rank]
        if group == 1 {
            connect(x.axes[channel], w.axes[channel], site)
        } else if perGroup == 1 {
            // Depthwise: a channel goes with the filters that read it.
            joinDepthwise(x.axes[channel], filters, group: group, site)
        } else {
            // Groups stay as many and as equal as they are: the channels at the same place in all groups are one unit.
            if let filters { mergeEqual(filters) { $0 % (outputs / group) } }
            joinGroups(x.axes[channel], w.axes[channel], group: group, site)
        }
        finishConv(site, filters, channel: channel, rank: rank)
    }

    /// Weight [inputs, outputs / group, kernel…].
    func traceConvTranspose(_ site: Site) {
        guard let x = operand(site, 0), let w = operand(site, 1), let rank = w.rank, rank >= 3 else { return opaque(site) }
        let channel = 1 - rank
        let group = max(site.node.int("group") ?? 1, 1)
        freezeSpatial(x, channel, site)
        guard let inputs = extent(of: w, -rank), let perGroup = extent(of: w, channel) else { return opaque(site) }
        if group == 1 {
            connect(x.axes[channel], w.axes[-rank], site)
            return finishConv(site, w.axes[channel], channel: channel, rank: rank)
        }
        guard inputs % group == 0, let filters = w.axes[-rank] else { return opaque(site) }
        if inputs == group {
            // One input channel per group: its outputs go with it, all of them.
            joinDepthwise(x.axes[channel], filters, group: group, site)
            freeze(axis: w.axes[channel], because: "\(site.title) makes as many outputs of every channel")
            let channels = axes[filters].channels.flatMap { [Int32](repeating: $0, count: perGroup) }
            return finishConv(site, newAxis(channels), channel: channel, rank: rank)
        }
        mergeEqual(filters) { $0 % (inputs / group) }
        connect(x.axes[channel], filters, site)
        guard let own = w.axes[channel] else { return finishConv(site, nil, channel: channel, rank: rank) }
        let tiled = (0..<group).flatMap { _ in axes[own].channels }
        finishConv(site, newAxis(tiled), channel: channel, rank: rank)
    }

    private func freezeSpatial(_ x: Operand, _ channel: Int, _ site: Site) {
        for (dimension, axis) in x.axes where dimension != channel { freeze(axis: axis, because: "\(site.title) slides over it") }
    }

    private func joinDepthwise(_ input: Int?, _ filters: Int?, group: Int, _ site: Site) {
        guard let input, let filters, axes[input].channels.count == group, !axes[input].isBlocked else { return connect(input, filters, site) }
        let multiplier = axes[filters].channels.count / group
        for (index, filter) in axes[filters].channels.enumerated() { units.merge(filter, axes[input].channels[index / max(multiplier, 1)]) }
        patch(.attribute(node: site.index, name: "group", axis: input))
    }

    private func joinGroups(_ input: Int?, _ weight: Int?, group: Int, _ site: Site) {
        guard let input, let weight, !axes[input].isBlocked, axes[input].channels.count == axes[weight].channels.count * group else {
            return connect(input, weight, site)
        }
        let perGroup = axes[weight].channels.count
        for (index, channel) in axes[input].channels.enumerated() { units.merge(channel, axes[weight].channels[index % perGroup]) }
    }

    private func finishConv(_ site: Site, _ output: Int?, channel: Int, rank: Int) {
        if let bias = operand(site, 2) { connect(output, bias.axes[-1], site) }
        setOutput(site, axes: output.map { [channel: $0] } ?? [:], rank: rank)
    }

    /// alpha·A'·B' + beta·C, A' and B' transposed if asked.
    func traceGemm(_ site: Site) {
        guard let a = operand(site, 0), let b = operand(site, 1) else { return opaque(site) }
        let (transA, transB) = (site.node.int("transA") == 1, site.node.int("transB") == 1)
        connect(a.axes[transA ? -2 : -1], b.axes[transB ? -1 : -2], site)
        var product: [Int: Int] = [:]
        product[-2] = a.axes[transA ? -1 : -2]
        product[-1] = b.axes[transB ? -2 : -1]
        if let c = operand(site, 2) {
            let result = Operand(name: site.node.outputs[0], axes: product, rank: 2, isInitializer: false)
            // What the product's own dimensions without an axis are is only known from shapes; a bias that has one freezes.
            product = broadcast([result, c], site)
        }
        setOutput(site, axes: product, rank: 2)
    }

    func traceMatMul(_ site: Site) {
        guard let a = operand(site, 0), let b = operand(site, 1) else { return opaque(site) }
        guard a.rank != 1, b.rank != 1 else { return opaque(site) }
        connect(a.axes[-1], b.axes[-2], site)
        var product = broadcast([a, b], site) { $0 <= -3 }
        product[-2] = a.axes[-2]
        product[-1] = b.axes[-1]
        var rank: Int?
        if let one = a.rank, let two = b.rank { rank = max(one, two) }
        setOutput(site, axes: product, rank: rank)
        let name = site.node.outputs[0]
        if product[-2] == nil { extents[name, default: [:]][-2] = extent(of: a, -2) }
        if product[-1] == nil { extents[name, default: [:]][-1] = extent(of: b, -1) }
    }

    /// X [steps, batch, inputs]; W [directions, gates·hidden, inputs]; R [directions, gates·hidden, hidden];
    /// B [directions, 2·gates·hidden]; initial states [directions, batch, hidden]; P [directions, 3·hidden].
    ///
    /// A hidden unit goes with its rows in every gate and its column in R, in both directions.
    func traceRecurrent(_ site: Site, gates: Int) {
        guard let x = operand(site, 0), let w = operand(site, 1), let r = operand(site, 2), w.rank == 3, r.rank == 3 else { return opaque(site) }
        for (dimension, axis) in x.axes where dimension != -1 { freeze(axis: axis, because: "\(site.title) runs over it") }
        connect(x.axes[-1], w.axes[-1], site)
        guard let hidden = extent(of: r, -1), extent(of: w, -2) == gates * hidden, let units = r.axes[-1] else {
            for operand in [w, r] { freeze(operand.axes[-2], site) }
            return setOutputs(site, nil, directions: nil)
        }
        for operand in [w, r] {
            guard let rows = operand.axes[-2] else { continue }
            tieTiled(rows, units)
        }
        if let bias = operand(site, 3) { tieTiled(bias.axes[-1], units, or: site) }
        for index in [5, 6] {
            guard let state = operand(site, index) else { continue }
            if let axis = state.axes[-1] { tie(axis, units, site) } else { freeze(axis: units, because: "\(site.title) starts from a state given from outside") }
        }
        if let peepholes = operand(site, 7) { tieTiled(peepholes.axes[-1], units, or: site) }
        if site.node.int("hidden_size") != nil { patch(.attribute(node: site.index, name: "hidden_size", axis: units)) }
        setOutputs(site, units, directions: extent(of: w, -3))
    }

    private func freeze(_ axis: Int?, _ site: Site) { freeze(axis: axis, because: "\(site.title) has weights of an unusual shape") }

    /// Y [steps, directions, batch, hidden]; Y_h and Y_c [directions, batch, hidden].
    private func setOutputs(_ site: Site, _ hidden: Int?, directions: Int?) {
        for (index, rank) in [4, 3, 3].enumerated() where site.node.outputs.indices.contains(index) {
            setOutput(site, index, axes: hidden.map { [-1: $0] } ?? [:], rank: rank)
            // With `layout` 1 the batch comes first.
            let dimension = site.node.int("layout") == 1 ? -2 : -3
            extents[site.node.outputs[index], default: [:]][dimension] = directions
        }
    }

    /// Ties an axis that repeats `units` whole, once per gate.
    private func tieTiled(_ axis: Int, _ units: Int) {
        let count = axes[units].channels.count
        for (index, channel) in axes[axis].channels.enumerated() { self.units.merge(channel, axes[units].channels[index % count]) }
    }

    private func tieTiled(_ axis: Int?, _ units: Int, or site: Site) {
        if let axis { tieTiled(axis, units) } else { freeze(axis: units, because: "\(site.title) reads a computed bias") }
    }

    /// Rows of a table by index.
    func traceGather(_ site: Site) {
        guard let table = operand(site, 0), let indices = operand(site, 1) else { return opaque(site) }
        freeze(indices.axes, because: "\(site.title) uses it as indices")
        guard let gathered = fromEnd(site.node.int("axis") ?? 0, rank: table.rank) ?? (table.axes.isEmpty ? -1 : nil) else { return opaque(site) }
        freeze(axis: table.axes[gathered], because: "\(site.title) picks from it by index")
        var axes: [Int: Int] = [:]
        for (dimension, axis) in table.axes where dimension != gathered {
            if dimension > gathered {
                axes[dimension] = axis
            } else if let rank = indices.rank {
                axes[dimension - (rank - 1)] = axis
            } else {
                freeze(axis: axis, because: "\(site.title) has indices of unknown rank")
            }
        }
        var rank: Int?
        if let one = table.rank, let two = indices.rank { rank = one - 1 + two }
        setOutput(site, axes: axes, rank: rank)
    }
}
