/// Files that change while they are worked on, as where a model is exported again to the same path.
enum SourceChanges {
    /// Says that a file of the model is no longer the one that was opened.
    static func warn(_ path: String) { Console.warn("\(path): changed meanwhile; everything here is of the file as it was opened") }
}
