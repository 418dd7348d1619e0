/// Which units go.
package struct ChannelSelection {
    /// What is asked of one group.
    package struct Request: Hashable {
        /// Fraction of units to remove.
        package var ratio: Double
        package var criterion: ChannelCriterion
        /// Rank units of all groups with the same ratio and criterion together.
        package var isGlobal: Bool
        /// Keep a multiple of so many units.
        package var multiple: Int
        /// Keep at least so many units.
        package var minimum: Int

        package init(ratio: Double, criterion: ChannelCriterion, isGlobal: Bool, multiple: Int, minimum: Int) {
            self.ratio = ratio
            self.criterion = criterion
            self.isGlobal = isGlobal
            self.multiple = multiple
            self.minimum = minimum
        }
    }

    /// By unit number.
    package private(set) var removed: [Bool]
    /// By group: units that stay.
    package private(set) var kept: [Int]

    /// - Parameters:
    ///   - requests: by group; `nil` leaves the group alone.
    ///   - ranking: units in order of importance under a criterion; without one, groups that ask for it are left alone.
    package init(_ structure: ChannelStructure, requests: [Request?], ranking: (ChannelCriterion) -> ChannelRanking?) {
        removed = [Bool](repeating: false, count: structure.unitCount)
        kept = structure.groups.map(\.units.count)
        var group = [Int](repeating: 0, count: structure.unitCount)
        for (number, entry) in structure.groups.enumerated() { for unit in entry.units { group[Int(unit)] = number } }
        for pool in Self.pools(requests) {
            guard let order = ranking(pool.criterion)?.order else { continue }
            var keep: [Int: Int] = [:]
            if pool.isGlobal {
                keep = Self.globalCounts(structure, pool, requests, order, group)
            } else {
                for number in pool.groups {
                    let count = structure.groups[number].units.count
                    keep[number] = count - Int((pool.ratio * Double(count)).rounded())
                }
            }
            var left: [Int: Int] = [:]
            for number in pool.groups {
                guard let request = requests[number], let wanted = keep[number] else { continue }
                let count = structure.groups[number].units.count
                kept[number] = Self.admissible(wanted, of: count, multiple: request.multiple, minimum: request.minimum)
                left[number] = count - kept[number]
            }
            for unit in order {
                let number = group[Int(unit)]
                guard let remaining = left[number], remaining > 0 else { continue }
                removed[Int(unit)] = true
                left[number] = remaining - 1
            }
        }
    }

    private struct Pool {
        var ratio: Double
        var criterion: ChannelCriterion
        var isGlobal: Bool
        var groups: [Int]
    }

    /// Groups that are judged together, in order of their first group.
    private static func pools(_ requests: [Request?]) -> [Pool] {
        var pools: [Pool] = []
        for (number, request) in requests.enumerated() {
            guard let request else { continue }
            if let place = pools.firstIndex(where: { $0.ratio == request.ratio && $0.criterion == request.criterion && $0.isGlobal == request.isGlobal }) {
                pools[place].groups.append(number)
            } else {
                pools.append(Pool(ratio: request.ratio, criterion: request.criterion, isGlobal: request.isGlobal, groups: [number]))
            }
        }
        return pools
    }

    /// Units to keep in each group when the least important of all groups go, none below its minimum.
    private static func globalCounts(
        _ structure: ChannelStructure, _ pool: Pool, _ requests: [Request?], _ order: [Int32], _ group: [Int]
    ) -> [Int: Int] {
        var keep = Dictionary(uniqueKeysWithValues: pool.groups.map { ($0, structure.groups[$0].units.count) })
        let total = keep.values.reduce(0, +)
        var left = Int((pool.ratio * Double(total)).rounded())
        for unit in order where left > 0 {
            let number = group[Int(unit)]
            guard let count = keep[number], let request = requests[number], count > max(request.minimum, 1) else { continue }
            keep[number] = count - 1
            left -= 1
        }
        return keep
    }

    /// The number nearest to `wanted` that may stay of `count` units: a multiple of `multiple` (the larger of two
    /// equally near), or all; at least `minimum` and at least 1.
    static func admissible(_ wanted: Int, of count: Int, multiple: Int, minimum: Int) -> Int {
        let floor = min(max(minimum, 1), count)
        let wanted = min(max(wanted, floor), count)
        guard multiple > 1, wanted < count else { return wanted }
        let lower = wanted / multiple * multiple
        let upper = lower == wanted ? wanted : lower + multiple
        let candidates = [lower, upper].filter { $0 >= floor && $0 < count }
        return candidates.min { (abs($0 - wanted), -$0) < (abs($1 - wanted), -$1) } ?? count
    }
}
