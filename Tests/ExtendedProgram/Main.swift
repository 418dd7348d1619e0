import Foundation
import LatheCommands
import StandardTechniques
import Techniques

/// The program with one technique more, for the test that a technique is a file and a line.
@main
enum Main {
    static func main() {
        StandardTechniques.register()
        TechniqueRegistry.register([DecimalRounding()])
        _exit(Program.run())
    }
}
