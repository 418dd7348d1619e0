import Recipes

/// Every state a recipe went through, as a tree: undo goes to the parent, redo to the child last visited, and an edit
/// after an undo opens a branch instead of throwing states away.
public struct RecipeHistory: Sendable {
    public struct Node: Sendable, Identifiable {
        public let id: Int
        public let parent: Int?
        public fileprivate(set) var children: [Int]
        public fileprivate(set) var recipe: Recipe
        /// What was done to come here from the parent.
        public fileprivate(set) var title: String
        /// Seconds since the session began.
        public fileprivate(set) var time: Double
        public fileprivate(set) var name: String
        public fileprivate(set) var isPinned: Bool
        fileprivate var mergeKey: String?
        fileprivate var lastVisitedChild: Int?
    }

    /// Edits of one knob less than this many seconds apart are one state, so that a held key is undone at once.
    public static let mergeWindow = 0.7

    public private(set) var nodes: [Node]
    public private(set) var currentID: Int

    public init(_ recipe: Recipe = Recipe(), title: String = "baseline") {
        nodes = [Node(id: 0, parent: nil, children: [], recipe: recipe, title: title, time: 0, name: "", isPinned: false, mergeKey: nil, lastVisitedChild: nil)]
        currentID = 0
    }

    public var current: Node { nodes[currentID] }
    public var recipe: Recipe { nodes[currentID].recipe }
    public var canUndo: Bool { current.parent != nil }
    public var canRedo: Bool { current.lastVisitedChild != nil }
    /// How many edits lie between the present state and the root.
    public var depth: Int { ancestors(of: currentID).count }

    /// Adds a state after the present one and goes there. Does nothing when the recipe is the same.
    ///
    /// - Parameter mergeKey: what was turned; states of the same knob close in time are merged.
    public mutating func record(_ recipe: Recipe, title: String, at time: Double, mergeKey: String? = nil) {
        guard recipe != current.recipe else { return }
        if let mergeKey, mergeKey == current.mergeKey, time - current.time < Self.mergeWindow, current.children.isEmpty,
            !current.isPinned, current.name.isEmpty, let parent = current.parent
        {
            if nodes[parent].recipe != recipe {
                nodes[currentID].recipe = recipe
                nodes[currentID].title = title
                nodes[currentID].time = time
                return
            }
            // Turned back to where it began: the state stays (states are never thrown away), the present moves back.
            currentID = parent
            return
        }
        let id = nodes.count
        nodes.append(
            Node(id: id, parent: currentID, children: [], recipe: recipe, title: title, time: time, name: "", isPinned: false, mergeKey: mergeKey, lastVisitedChild: nil))
        nodes[currentID].children.append(id)
        nodes[currentID].lastVisitedChild = id
        currentID = id
    }

    /// - Returns: what was undone, or `nil` at the root.
    public mutating func undo() -> String? {
        guard let parent = current.parent else { return nil }
        let title = current.title
        nodes[parent].lastVisitedChild = currentID
        currentID = parent
        return title
    }

    /// - Returns: what was done again, or `nil` when there is nothing.
    public mutating func redo() -> String? {
        guard let child = current.lastVisitedChild else { return nil }
        currentID = child
        nodes[child].mergeKey = nil
        return current.title
    }

    /// Goes to any state; redo then leads along the way just taken.
    public mutating func jump(to id: Int) -> Bool {
        guard nodes.indices.contains(id) else { return false }
        var child = id
        while let parent = nodes[child].parent {
            nodes[parent].lastVisitedChild = child
            child = parent
        }
        currentID = id
        nodes[id].mergeKey = nil
        return true
    }

    public mutating func setName(_ name: String, of id: Int) {
        guard nodes.indices.contains(id) else { return }
        nodes[id].name = name
    }

    public mutating func setPinned(_ pinned: Bool, _ id: Int) {
        guard nodes.indices.contains(id) else { return }
        nodes[id].isPinned = pinned
    }

    /// Ids from a state's parent up to the root.
    public func ancestors(of id: Int) -> [Int] {
        var result: [Int] = []
        var next = nodes[id].parent
        while let here = next {
            result.append(here)
            next = nodes[here].parent
        }
        return result
    }

    /// A line of the drawn tree: a state and the columns to its left.
    public struct Line: Hashable, Sendable {
        public var id: Int
        /// How many branches run beside it on the left; its own is the last column.
        public var column: Int
        /// The state opens a branch beside its older sibling.
        public var isBranch: Bool
    }

    /// States in the order of a log with branches indented: the first child goes on in its parent's column, later
    /// children open columns to the right and are drawn before the trunk goes on.
    public var lines: [Line] {
        var result: [Line] = []
        var stack: [(id: Int, column: Int, isBranch: Bool)] = [(0, 0, false)]
        while let (id, column, isBranch) = stack.popLast() {
            result.append(Line(id: id, column: column, isBranch: isBranch))
            let children = nodes[id].children
            if let first = children.first { stack.append((first, column, false)) }
            for child in children.dropFirst() { stack.append((child, column + 1, true)) }
        }
        return result
    }
}
