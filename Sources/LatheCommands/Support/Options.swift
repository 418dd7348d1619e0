import ArgumentParser
import CompressionEngine
import Measurement
import ModelGraph
import Recipes
import Techniques

/// The model that a command works on.
struct ModelOptions: ParsableArguments {
    @Argument(help: "The model, an ONNX file.", completion: .file(extensions: ["onnx"]))
    var model: String

    @Option(
        name: .customLong("onnxruntime"),
        help: ArgumentHelp(
            "ONNX Runtime's shared library to use.",
            discussion: "Otherwise the one LATHE_ONNXRUNTIME names, .deps/onnxruntime above the program, or the system's.",
            valueName: "library"),
        completion: .file())
    var runtime: String?
}

/// What is to be done to the model.
struct RecipeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A recipe file, or preset:NAME for one of 'lathe presets'.", valueName: "file"), completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String?

    @Option(
        help: ArgumentHelp(
            "One step, instead of or after the recipe's; may be repeated.",
            discussion: """
                technique[?][:key=value,…][@layer,…], for example 'magnitude-pruning:sparsity=0.8' or 'svd:rank=8@fc*'. A layer is a name \
                (* matches any characters), kind:conv, or 0..3 (positions, the last excluded); ! before it leaves it out. \
                With ? the step is skipped where it applies to no layer. \
                'lathe techniques' lists techniques and parameters.
                """,
            valueName: "spec"),
        completion: .list(TechniqueRegistry.all.map(\.descriptor.id)))
    var step: [StepSpecification] = []

    /// The recipe these options describe; empty if none is given.
    func resolve() throws -> Recipe {
        var result = Recipe()
        if let recipe { result = try Recipe.read(path: recipe) }
        result.steps += try StepSpecification.resolve(step)
        return result
    }

    var isEmpty: Bool { recipe == nil && step.isEmpty }
}

/// Whom steps that learn learn from.
struct TeacherOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The teacher of steps that train.", discussion: "A model with the same inputs and as many scores. Otherwise the model before the recipe is the teacher.",
            valueName: "model"),
        completion: .file(extensions: ["onnx"]))
    var teacher: String?
}

/// Whether what is written is tried.
struct CheckOptions: ParsableArguments {
    @Flag(inversion: .prefixedNo, help: "Load the written model in ONNX Runtime, and keep it under another name, with status 1, if that fails.")
    var check = true

    @Flag(help: "Write the weights into a file of their own, named like the model with .data behind it, however small the model is.")
    var externalData = false
}

/// Where what is written is to run.
struct TargetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the model is to run: onnxruntime, openvino, portable (any runtime), or integers.",
            discussion: "Forms in the written model that the target does not read are listed, and the status is 1. The file is there all the same.", valueName: "target"))
    var target: TargetForm?
}

extension ArchitectureStrategy: ExpressibleByArgument {}

extension TargetForm: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }
    public static var allValueStrings: [String] { allCases.map(\.rawValue) + ["onnxruntime"] }
    public var defaultValueDescription: String { rawValue }
}

/// How a command prints.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON with a versioned schema instead of text.")
    var json = false
}

/// Whether gzip and packed sizes are measured.
struct SizeOptions: ParsableArguments {
    @Flag(help: "Skip the sizes that take time: gzip and the packed archive.")
    var quick = false

    @Flag(help: "Measure these sizes for models above 64 MB too; packing takes memory of about the file's size.")
    var allSizes = false

    /// Above this, packing costs seconds and memory that someone who only looks may not have.
    private static let limit = 64_000_000.0

    func validate() throws {
        if quick, allSizes { throw ValidationError("--quick and --all-sizes exclude each other") }
    }

    private func isLarge(_ figures: ModelFigures) -> Bool { figures.serializedBytes.value > Self.limit }

    func areCoded(_ figures: ModelFigures) -> Bool { allSizes || !quick && !isLarge(figures) }

    /// What to say of sizes that are left out though nobody asked for it; `nil` for nothing.
    func remark(on figures: ModelFigures) -> String? {
        !quick && !allSizes && isLarge(figures) ? "gzip and packed sizes are left out above 64 MB; --all-sizes measures them" : nil
    }
}
