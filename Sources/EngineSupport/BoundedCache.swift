/// Values by key, within a limit of entries, of cost (bytes, as a rule), or of both. What was not used for longest goes first.
///
/// A hit costs the same however much is kept: entries stand in a list linked by position, most recently used last. (An ordered dictionary
/// would shift all that follows an entry on every hit; the memo of the techniques holds a hundred thousand small tensors.)
package struct BoundedCache<Key: Hashable, Value> {
    fileprivate struct Entry {
        var key: Key
        /// `nil` where the place is free.
        var value: Value?
        var cost: Int
        var older: Int
        var newer: Int
    }

    package let maximumCount: Int
    package let maximumCost: Int
    /// Sum of the costs of all entries.
    package private(set) var cost = 0
    private var places: [Key: Int] = [:]
    private var entries: [Entry] = []
    private var free: [Int] = []
    private var oldest = -1
    private var newest = -1

    /// - Parameters:
    ///   - maximumCount: entries at most, at least 1.
    ///   - maximumCost: sum of their costs at most; the newest entry stays, whatever it costs.
    package init(maximumCount: Int = .max, maximumCost: Int = .max) {
        self.maximumCount = max(maximumCount, 1)
        self.maximumCost = maximumCost
    }

    package var count: Int { places.count }
    /// In no order.
    package var keys: [Key] { Array(places.keys) }

    /// The value for `key`, which counts as used now.
    package mutating func value(for key: Key) -> Value? {
        guard let place = places[key] else { return nil }
        touch(place)
        return entries[place].value
    }

    /// Reading does not count as use: for views, which look at everything in each frame. Writing does; `nil` removes.
    package subscript(key: Key) -> Value? {
        get { places[key].flatMap { entries[$0].value } }
        set {
            if let newValue { insert(newValue, for: key, cost: places[key].map { entries[$0].cost } ?? 0) } else { remove(key) }
        }
    }

    package subscript(key: Key, default value: @autoclosure () -> Value) -> Value {
        get { self[key] ?? value() }
        set { self[key] = newValue }
    }

    /// Keeps a value, in place of another for that key.
    /// - Returns: what had to go for it, the longest unused first.
    @discardableResult
    package mutating func insert(_ value: Value, for key: Key, cost: Int = 0) -> [(key: Key, value: Value)] {
        if let place = places[key] {
            self.cost += cost - entries[place].cost
            entries[place].value = value
            entries[place].cost = cost
            touch(place)
        } else {
            let entry = Entry(key: key, value: value, cost: cost, older: -1, newer: -1)
            let place = free.popLast() ?? entries.count
            if place == entries.count { entries.append(entry) } else { entries[place] = entry }
            places[key] = place
            self.cost += cost
            link(place)
        }
        return evict(toCost: maximumCost, count: maximumCount, keeping: [key])
    }

    /// Removes what was not used for longest until the rest costs at most `limit`.
    /// - Parameter kept: keys that stay in any case.
    /// - Returns: what was removed, the longest unused first.
    @discardableResult
    package mutating func evict(toCost limit: Int, keeping kept: Set<Key> = []) -> [(key: Key, value: Value)] {
        evict(toCost: limit, count: .max, keeping: kept)
    }

    private mutating func evict(toCost limit: Int, count: Int, keeping kept: Set<Key>) -> [(key: Key, value: Value)] {
        guard cost > limit || places.count > count else { return [] }
        var evicted: [(key: Key, value: Value)] = []
        var place = oldest
        while place >= 0, cost > limit || places.count > count {
            let (key, next) = (entries[place].key, entries[place].newer)
            if !kept.contains(key), let value = remove(key) { evicted.append((key, value)) }
            place = next
        }
        return evicted
    }

    @discardableResult
    package mutating func remove(_ key: Key) -> Value? {
        guard let place = places.removeValue(forKey: key) else { return nil }
        unlink(place)
        cost -= entries[place].cost
        defer { entries[place].value = nil }
        free.append(place)
        return entries[place].value
    }

    // MARK: The list

    private mutating func touch(_ place: Int) {
        guard place != newest else { return }
        unlink(place)
        link(place)
    }

    private mutating func link(_ place: Int) {
        entries[place].older = newest
        entries[place].newer = -1
        if newest >= 0 { entries[newest].newer = place } else { oldest = place }
        newest = place
    }

    private mutating func unlink(_ place: Int) {
        let (older, newer) = (entries[place].older, entries[place].newer)
        if older >= 0 { entries[older].newer = newer } else { oldest = newer }
        if newer >= 0 { entries[newer].older = older } else { newest = older }
    }
}

extension BoundedCache: Sendable where Key: Sendable, Value: Sendable {}
extension BoundedCache.Entry: Sendable where Key: Sendable, Value: Sendable {}
