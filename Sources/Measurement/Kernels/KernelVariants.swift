extension Kernel {
    /// The kernel itself and what techniques may put in its place: fewer channels, other forms, the links of factorizations.
    package var variants: [Kernel] {
        var found: [Kernel] = []
        func add(_ kernel: Kernel) { if !found.contains(kernel) { found.append(kernel) } }
        func part(_ channels: Int, _ share: Double) -> Int {
            let exact = Double(channels) * share
            return channels >= 32 ? max(Int((exact / 8).rounded()) * 8, 8) : max(Int(exact.rounded()), 1)
        }
        func scaled(_ inputShare: Double, _ outputShare: Double, _ form: KernelForm) -> Kernel {
            with(inputs: part(inputs, inputShare), outputs: part(outputs, outputShare), form: form)
        }
        add(self)
        for (i, o) in [(1.0, 1.0), (1, 0.5), (0.5, 1), (0.5, 0.5), (0.25, 0.25), (1, 0.25), (0.25, 1)] { add(scaled(i, o, .float)) }
        for form in [KernelForm.staticInt8, .dynamicInt8] { for share in [1.0, 0.5] { add(scaled(share, share, form)) } }
        add(with(form: .half))
        add(with(form: .dequantized))
        switch operation {
        case .product:
            for (i, o) in [(1.0, 0.0625), (0.0625, 1)] { add(scaled(i, o, .float)) }
            // Cores of trains: many rows, few channels.
            let rows = extents.reduce(1, *) * 16
            for (i, o) in [(16, 16), (64, 16), (inputs, part(outputs, 0.25)), (part(inputs, 0.25), outputs)] { add(Kernel(product: rows, inputs: i, outputs: o)) }
        case .convolution:
            // Channels that do not fill the runtime's blocks.
            for share in [1, 0.75, 0.5, 0.25] {
                func uneven(_ channels: Int) -> Int { channels < 8 ? channels : max(Int(Double(channels) * share) / 8 * 8 - 3, 3) }
                add(with(inputs: uneven(inputs), outputs: uneven(outputs), form: .float))
                add(with(outputs: uneven(outputs), form: .float))
            }
            guard group == 1 else { return found }
            let ones = window.map { _ in 1 }
            func link(_ extents: [Int], _ inputs: Int, _ outputs: Int, _ window: [Int], group: Int = 1) -> Kernel {
                Kernel(convolution: extents, inputs: inputs, outputs: outputs, group: group, window: window)
            }
            let most = min(max(inputs, outputs / 2), outputs)
            let ranks = [part(most, 0.5), part(most, 0.25)]
            for rank in ranks {
                // Ranks are seldom multiples of eight.
                for rank in [rank, max(rank - 3, 1)] {
                    if windowElements > 1 { add(link(extents, inputs, rank, ones)) }
                    add(link(outputExtents, rank, outputs, ones))
                }
            }
            guard window.count == 2, window.allSatisfy({ $0 > 1 }) else { return found }
            for rank in [ranks[0], max(ranks[0] - 3, 1)] {
                add(link(extents, inputs, rank, [window[0], 1]))
                add(link(outputExtents, rank, outputs, [1, window[1]]))
            }
            for rank in [ranks[0] * 2, max(ranks[0] * 2 - 3, 1)] { add(link(outputExtents, rank, rank, [window[0], 1], group: rank)) }
        }
        return found
    }
}
