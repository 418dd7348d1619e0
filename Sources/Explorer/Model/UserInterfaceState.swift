import Foundation
import Measurement
import TerminalCells

/// What lies over the panes.
public enum Overlay: Sendable {
    case help(CommandList, pane: Pane)
    case palette(CommandList, [PaletteEntry])
    case entry(Entry)
    case messages(ListState)
    case text(TextBox)
    case confirm(Confirmation)
}

/// A line being typed.
public struct Entry: Sendable {
    public enum Purpose: Sendable, Hashable {
        case parameter(StepAddress, String)
        case layerParameter(StepAddress, layer: String, String)
        case filter(Pane, before: String)
        case name(state: Int)
        case exportField(ExportForm.Field)
        case allocation
        /// The goal of a search.
        case search
        /// A goal that is only shown.
        case target
    }
    public var purpose: Purpose
    public var field: TextField
    /// The text that completions begin with, while one after the other is shown.
    var stem: String?

    public init(purpose: Purpose, field: TextField) { (self.purpose, self.field) = (purpose, field) }
}

/// Text to read and copy.
public struct TextBox: Sendable, Hashable {
    public var title: String
    public var lines: [String]
    /// What `y` copies.
    public var text: String
    /// It has been copied.
    public var copied: Bool
    public var offset = 0
}

/// A question before something is destroyed.
public struct Confirmation: Sendable, Hashable {
    public enum Subject: Sendable, Hashable { case overwrite, quit }
    public var subject: Subject
    public var title: String
    public var text: String
    public var buttons: [String]
    public var selected: Int
}

/// Columns of the layer table.
public enum LayerColumn: String, CaseIterable, Sendable {
    case position, name, own, parameters, sparsity, bits, file, packed, macs, time, op, shape

    public var title: String {
        switch self {
        case .position: "#"
        case .name: "layer"
        case .own: "own value"
        case .parameters: "weights"
        case .sparsity: "zeros"
        case .bits: "bits"
        case .file: "file"
        case .packed: "archive"
        case .macs: "MACs"
        case .time: "time"
        case .op: "operator"
        case .shape: "shape"
        }
    }
}

public struct LayerSort: Sendable, Hashable {
    public var column = LayerColumn.position
    public var isDescending = false
}

public struct TrialSort: Sendable, Hashable {
    /// `nil`: newest first.
    public var measure: Measure?
    public var isDescending = false
}

/// What the export view is filled in with.
public struct ExportForm: Sendable, Hashable {
    public enum Field: String, CaseIterable, Sendable { case folder, name, archive, write }
    public var folder: String
    public var name: String
    public var includeArchive = true

    init(modelPath: String) {
        let base = URL(fileURLWithPath: modelPath).deletingPathExtension().lastPathComponent
        folder = "."
        name = base + "-compressed"
    }

    /// Paths of everything that will be written.
    public var files: [(path: String, what: String)] {
        let base = folder.isEmpty || folder == "." ? name : (folder.hasSuffix("/") ? folder : folder + "/") + name
        var files = [(base + ".onnx", "compressed model"), (base + ".recipe.yaml", "recipe")]
        if includeArchive { files.append((base + ".lathe", "packed archive")) }
        files.append((base + ".report.md", "report, with the test split"))
        return files
    }

    public var recipePath: String { files[1].path }
}
