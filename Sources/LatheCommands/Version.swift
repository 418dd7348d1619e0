/// The program's version. It stands here only: `--version`, the man page and what the program writes take it from here, and
/// `scripts/check-version.sh` holds CHANGELOG.md and Docs/lathe.1 to it.
enum Version {
    static let number = "0.1.0"
    /// Day of the release, for the man page.
    static let date = "November 25, 2026"
}
