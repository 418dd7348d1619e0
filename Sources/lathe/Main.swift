import Foundation
import LatheCommands
import StandardTechniques

@main
enum Main {
    static func main() {
        StandardTechniques.register()
        let status = Program.run()
        // Without destructors of libraries: a worker that has not noticed its cancellation yet may still be inside
        // ONNX Runtime. Nothing is buffered: output goes by write(2), files are flushed.
        _exit(status)
    }
}
