/// What a recipe asks of the packed archive for a layer.
public struct ArchiveCoding: Hashable, Sendable {
    /// Bits of a relative index (2…8); `nil` lets the archive choose.
    public var indexBits: Int?
    /// Codes that may be used.
    public var coder = EntropyCoder.smallest

    public init(indexBits: Int? = nil, coder: EntropyCoder = .smallest) {
        self.indexBits = indexBits
        self.coder = coder
    }
}
