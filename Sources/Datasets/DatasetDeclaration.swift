import EngineSupport
import Metrics

/// What a data set's YAML file says. Schema and examples: Docs/DataSets.md.
public struct DatasetDeclaration: Sendable, Hashable {
    public enum Format: String, Sendable, CaseIterable {
        case idx, npz, csv, images, coco, yolo, audio, tokens
    }

    /// A folder of masks, and how their names differ from those of the images: without `suffix` and `maskSuffix` the rest is the same.
    public struct Masks: Sendable, Hashable {
        public var folder: String
        public var suffix = ""
        public var maskSuffix = ""

        public init(folder: String, suffix: String = "", maskSuffix: String = "") {
            self.folder = folder
            self.suffix = suffix
            self.maskSuffix = maskSuffix
        }
    }

    /// The files of one split, by format.
    public enum Files: Sendable, Hashable {
        /// `labelsFile`: labels in a text file, one a line, or in an `.npy`.
        case idx(images: String, labels: String?, labelsFile: String? = nil)
        /// `array` names the samples if it is not named as the model's input; `labels` names the array of labels.
        case npz(file: String, array: String?, labels: String?, labelsFile: String? = nil)
        case csv(file: String, label: String?)
        /// A folder, or a table of files and labels (its paths are relative to the folder, else to the table), or a folder and one of masks.
        case images(folder: String?, table: String? = nil, columns: [String] = [], masks: Masks? = nil)
        /// COCO's annotations.
        case coco(annotations: String, folder: String)
        /// A folder with a text file of boxes per image.
        case yolo(labels: String, folder: String)
        /// As `images`.
        case audio(folder: String?, table: String? = nil, columns: [String] = [])
        /// Lines of JSON.
        case tokens(file: String)

        /// Every path.
        public var paths: [String] {
            switch self {
            case .idx(let images, let labels, let labelsFile): [images, labels, labelsFile].compactMap { $0 }
            case .npz(let file, _, _, let labelsFile): [file, labelsFile].compactMap { $0 }
            case .csv(let file, _), .tokens(let file): [file]
            case .images(let folder, let table, _, let masks): [folder, table, masks?.folder].compactMap { $0 }
            case .coco(let annotations, let folder): [annotations, folder]
            case .yolo(let labels, let folder): [labels, folder]
            case .audio(let folder, let table, _): [folder, table].compactMap { $0 }
            }
        }
    }

    public struct Split: Sendable, Hashable {
        public var files: Files
        /// Half-open rows; `nil` for all.
        public var range: Range<Int>?
        /// Whether the split is simply absent if its files are.
        public var isOptional: Bool
        /// Line in the declaration, for messages.
        public var line: Int

        public init(files: Files, range: Range<Int>? = nil, isOptional: Bool = false, line: Int = 0) {
            self.files = files
            self.range = range
            self.isOptional = isOptional
            self.line = line
        }
    }

    /// Parts of one source that become splits. What they leave over goes to validation.
    public struct Fractions: Sendable, Hashable {
        public var train: Double
        public var calibration: Double
        public var validation: Double
        public var test: Double

        public init(train: Double = 0, calibration: Double = 0.1, validation: Double = 0.7, test: Double = 0.2) {
            self.train = train
            self.calibration = calibration
            self.validation = validation
            self.test = test
        }
    }

    public var name: String
    public var format: Format
    /// `nil`: what labels and outputs suggest.
    public var metric: MetricKind?
    public var metricOptions = MetricOptions()
    /// Inputs of the model that are the same in every call, by name.
    public var constants: [String: [Double]] = [:]
    /// Where samples are sequences that the model takes step by step: outputs of one step that are inputs of the next, the input's name by the output's.
    public var carry: [String: String] = [:]
    public var classes: [String]
    /// The number of the first class, where labels do not count from 0.
    public var labelOffset: Int?
    /// The class of the metric by its name, where only the data says which names there are.
    public var positiveClassName: String?
    /// The model's input that samples are for; `nil`: its only one.
    public var input: String?
    public var preprocessing: Preprocessing
    public var splits: [SplitName: Split]
    /// Instead of `splits`: one source, divided by a seeded shuffle.
    public var source: Split?
    public var fractions: Fractions
    /// Seed of that shuffle.
    public var seed: UInt64
    /// The declaring file, for messages; empty if there is none.
    public var file: String

    public init(
        name: String, format: Format, metric: MetricKind? = nil, classes: [String] = [], input: String? = nil,
        preprocessing: Preprocessing = Preprocessing(), splits: [SplitName: Split] = [:], source: Split? = nil,
        fractions: Fractions = Fractions(), seed: UInt64 = 0, file: String = ""
    ) {
        self.name = name
        self.format = format
        self.metric = metric
        self.classes = classes
        self.input = input
        self.preprocessing = preprocessing
        self.splits = splits
        self.source = source
        self.fractions = fractions
        self.seed = seed
        self.file = file
    }

    /// Reads a declaration. Relative paths in it become relative to its folder.
    /// - Throws: `EngineError` in one line that names the file, the line and what was expected.
    public static func read(path: String) throws -> DatasetDeclaration {
        let bytes = try InputFile.read(path, limit: DataLimits.declarationBytes)
        guard let text = String(validating: bytes, as: UTF8.self) else { throw EngineError(.data, "\(path): not UTF-8 text") }
        return try parse(text, file: path)
    }

    /// - Parameter file: where the text is from: names it in messages, and its folder is the base of relative paths.
    public static func parse(_ text: String, file: String) throws -> DatasetDeclaration {
        try DatasetDeclarationParser(file: file).parse(text)
    }
}
