import EngineSupport
import Testing

/// Against a list that is searched from the front: what a cache of that kind does, by definition.
@Suite struct BoundedCacheTests {
    private struct List {
        var entries: [(key: Int, value: Int, cost: Int)] = []
        var (count, cost): (Int, Int)

        mutating func value(_ key: Int) -> Int? {
            guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
            entries.append(entries.remove(at: index))
            return entries.last?.value
        }

        mutating func insert(_ value: Int, _ key: Int, _ cost: Int) -> [Int] {
            entries.removeAll { $0.key == key }
            entries.append((key, value, cost))
            var evicted: [Int] = []
            while entries.count > 1, entries.count > count || entries.reduce(0, { $0 + $1.cost }) > self.cost { evicted.append(entries.removeFirst().key) }
            return evicted
        }
    }

    @Test(arguments: [(5, Int.max), (Int.max, 40), (7, 40), (1, 5)], [UInt64(1), 2, 3])
    func agreesWithAList(limits: (count: Int, cost: Int), seed: UInt64) {
        var numbers = SeededGenerator(seed: seed)
        var cache = BoundedCache<Int, Int>(maximumCount: limits.count, maximumCost: limits.cost)
        var list = List(count: limits.count, cost: limits.cost)
        for turn in 0..<3000 {
            let key = numbers.below(12)
            switch numbers.below(5) {
            case 0, 1:
                let cost = numbers.below(15)
                #expect(cache.insert(turn, for: key, cost: cost).map(\.key) == list.insert(turn, key, cost))
            case 2, 3: #expect(cache.value(for: key) == list.value(key))
            default:
                if numbers.below(4) == 0 {
                    cache.remove(key)
                    list.entries.removeAll { $0.key == key }
                }
            }
            #expect(cache.count == list.entries.count && cache.cost == list.entries.reduce(0) { $0 + $1.cost })
            for key in 0..<12 { #expect(cache[key] == list.entries.first { $0.key == key }?.value) }
        }
    }

    @Test func makingRoomSparesWhatIsWanted() {
        var cache = BoundedCache<String, Int>()
        for (index, name) in ["a", "b", "c", "d"].enumerated() { cache.insert(index, for: name, cost: 10) }
        #expect(cache.evict(toCost: 15, keeping: ["a"]).map(\.key) == ["b", "c", "d"] && cache.cost == 10)
        #expect(cache.evict(toCost: 0, keeping: ["a"]).isEmpty && cache["a"] == 0)
    }

    @Test func whatWasMadeTwiceAtOnceIsKeptOnce() {
        let cache = SharedCache<Int, Int>(maximumCount: 2)
        // A second thread was faster.
        let value = cache.value(for: 1) {
            cache.insert(5, for: 1)
            return 6
        }
        #expect(value == 5 && cache.value(for: 1) == 5)
        cache.update(1) { $0 += 1 }
        cache.update(2) { $0 += 1 }
        #expect(cache.value(for: 1) == 6 && cache.value(for: 2) == nil)
    }
}
