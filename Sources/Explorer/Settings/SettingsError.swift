/// A settings file, key map or session log that cannot be used: one line that says where and what was expected.
public struct SettingsError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
