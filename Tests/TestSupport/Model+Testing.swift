import ModelGraph
import PythonOracle

extension Model {
    /// Writes the model into the folder and returns its path.
    package func written(_ folder: TemporaryFolder, _ name: String) throws -> String {
        try serialized().write(to: folder.path + "/" + name)
        return folder.path + "/" + name
    }

    /// The first initializer of a name in any graph.
    package func initializerAnywhere(_ name: String) -> Tensor? {
        var found: Tensor?
        forEachInitializer { _, tensor in if tensor.name == name { found = found ?? tensor } }
        return found
    }

    /// Nodes of every graph.
    package var allNodes: [Node] { graph.graphPaths().flatMap { graph[$0]?.nodes ?? [] } }
}
