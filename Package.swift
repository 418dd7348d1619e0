// swift-tools-version: 6.1
// lathe: a terminal explorer for neural-network compression trade-offs.
// Who may import whom is checked by scripts/check-imports.sh; the reasons stand in Docs/Architecture.md.

import PackageDescription

/// What tests of the engine may look into.
let engine: [Target.Dependency] = [
    "EngineSupport", "ModelGraph", "OnnxRuntime", "LinearAlgebra", "Metrics", "Datasets", "Archive", "Measurement", "Techniques", "Training", "Recipes", "CompressionEngine",
    "Pruning", "Quantization", "Factorization", "Learning", "StandardTechniques",
]

let package = Package(
    name: "lathe",
    products: [
        .executable(name: "lathe", targets: ["lathe"]),
        // For the nested package in Benchmarks/.
        .library(
            name: "CompressionEngine",
            targets: [
                "CompressionEngine", "StandardTechniques", "ModelGraph", "OnnxRuntime", "EngineSupport", "Metrics", "Datasets", "Archive", "Measurement", "Techniques", "Recipes",
            ]),
        .library(name: "Explorer", targets: ["Explorer", "TerminalCells"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swiftcsv/SwiftCSV", from: "0.10.0"),
    ],
    targets: [
        // C boundaries, one each.
        .systemLibrary(name: "CNcurses"),
        .systemLibrary(name: "CXxhash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CLapack", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
        .systemLibrary(name: "CImage", providers: [.apt(["libspng-dev", "libturbojpeg0-dev"])]),
        .systemLibrary(name: "CSndfile", pkgConfig: "sndfile", providers: [.apt(["libsndfile1-dev"])]),
        .systemLibrary(name: "CKissFFT", providers: [.apt(["libkissfft-dev"])]),
        .target(name: "CTerminalGuard"),
        .target(name: "COnnxRuntime"),

        // The model as a graph.
        .target(
            name: "ModelGraph",
            dependencies: [
                "CXxhash",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            exclude: ["Schema/onnx.proto"]),
        .target(name: "OnnxRuntime", dependencies: ["COnnxRuntime"]),
        // Reverse-mode differentiation, losses and optimizers as graphs: knows neither data nor runtime.
        .target(name: "Differentiation", dependencies: ["ModelGraph"]),

        // The engine: one idea a target, each on those above it. Docs/Architecture.md draws it.
        .target(name: "EngineSupport"),
        .target(name: "LinearAlgebra", dependencies: ["EngineSupport", "CLapack"]),
        // What samples' outputs are worth: metrics, what they contribute, intervals. Knows neither models nor files.
        .target(name: "Metrics", dependencies: ["EngineSupport"]),
        .target(
            name: "Datasets",
            dependencies: [
                "EngineSupport", "ModelGraph", "Metrics", "CZip", "CZlib", "CImage", "CSndfile", "CKissFFT",
                .product(name: "Yams", package: "Yams"),
                .product(name: "SwiftCSV", package: "SwiftCSV"),
            ]),
        .target(name: "Archive", dependencies: ["EngineSupport", "ModelGraph", "CZlib"]),
        .target(name: "Measurement", dependencies: ["EngineSupport", "ModelGraph", "OnnxRuntime", "Metrics", "Datasets", "Archive"]),
        .target(
            name: "Techniques",
            dependencies: [
                "EngineSupport", "ModelGraph", "LinearAlgebra", "Archive", "Measurement",
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .target(
            name: "Training",
            dependencies: ["EngineSupport", "ModelGraph", "Differentiation", "OnnxRuntime", "Metrics", "Datasets", "Measurement", "Techniques"]),
        .target(
            name: "Recipes",
            dependencies: [
                "EngineSupport", "ModelGraph", "Metrics", "Archive", "Measurement", "Techniques", "Training",
                .product(name: "Yams", package: "Yams"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .target(
            name: "CompressionEngine",
            dependencies: [
                "EngineSupport", "ModelGraph", "OnnxRuntime", "Metrics", "Datasets", "Archive", "Measurement", "Techniques", "Training", "Recipes",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),

        // Families of techniques: nothing but programs and tests imports them.
        .target(name: "Pruning", dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "Techniques", "Training"]),
        .target(
            name: "Quantization",
            dependencies: ["EngineSupport", "ModelGraph", "Differentiation", "LinearAlgebra", "OnnxRuntime", "Datasets", "Measurement", "Techniques", "Training"]),
        .target(
            name: "Factorization",
            dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "Archive", "Measurement", "Techniques", "Training"]),
        .target(
            name: "Learning",
            dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "OnnxRuntime", "Metrics", "Datasets", "Measurement", "Techniques", "Training"]),
        .target(name: "StandardTechniques", dependencies: ["Techniques", "Pruning", "Quantization", "Factorization", "Learning"]),

        // The terminal.
        .target(name: "TerminalCells"),
        .target(name: "TerminalCurses", dependencies: ["TerminalCells", "CNcurses", "CTerminalGuard"]),
        .target(
            name: "Explorer",
            dependencies: [
                "TerminalCells", "CompressionEngine", "EngineSupport", "ModelGraph", "Measurement", "Techniques", "Training", "Recipes", "Archive", "Datasets", "Metrics",
                .product(name: "Yams", package: "Yams"),
            ]),

        .target(
            name: "LatheCommands",
            dependencies: [
                "CompressionEngine", "EngineSupport", "Metrics", "Datasets", "Archive", "Measurement", "Techniques", "Training", "Recipes", "Explorer", "TerminalCurses",
                "TerminalCells",
                "OnnxRuntime", "ModelGraph", .product(name: "Yams", package: "Yams"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "lathe", dependencies: ["LatheCommands", "StandardTechniques"]),

        // Tests. What several of them share is in two targets of its own: Python to compare with, and models to try techniques on.
        .target(name: "CTestSetup", path: "Tests/CTestSetup"),
        .target(name: "PythonOracle", path: "Tests/PythonOracle", exclude: ["worker.py"]),
        .target(name: "TestSupport", dependencies: engine + ["CTestSetup", "PythonOracle"], path: "Tests/TestSupport"),
        .testTarget(name: "PythonOracleTests", dependencies: ["PythonOracle"]),
        .testTarget(name: "ModelGraphTests", dependencies: ["ModelGraph", "PythonOracle"]),
        .testTarget(name: "OnnxRuntimeTests", dependencies: ["OnnxRuntime", "PythonOracle"]),
        .testTarget(name: "DifferentiationTests", dependencies: ["Differentiation", "ModelGraph", "OnnxRuntime", "PythonOracle"], exclude: ["Reference"]),
        .testTarget(name: "LinearAlgebraTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "MetricsTests", dependencies: ["Metrics", "EngineSupport", "PythonOracle"]),
        .testTarget(name: "DatasetsTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "ArchiveTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "MeasurementTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "PruningTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "QuantizationTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "FactorizationTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "TrainingTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "LearningTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "RecipesTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "CompressionEngineTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        .testTarget(name: "TerminalCellsTests", dependencies: ["TerminalCells"], exclude: ["Snapshots"]),
        .testTarget(name: "TerminalCursesTests", dependencies: ["TerminalCurses", "TerminalCells", "CTerminalGuard"]),
        .testTarget(
            name: "ExplorerTests",
            dependencies: engine + ["Explorer", "TerminalCells", "TestSupport"], exclude: ["Snapshots"]),
        .testTarget(name: "TechniqueMatrixTests", dependencies: engine + ["TestSupport", "PythonOracle"]),
        // The built program, as a user runs it.
        .testTarget(name: "EndToEndTests", dependencies: ["PythonOracle", "lathe-extended"]),
        .executableTarget(name: "lathe-extended", dependencies: ["LatheCommands", "StandardTechniques", "Techniques", "ModelGraph"], path: "Tests/ExtendedProgram"),
    ],
    swiftLanguageModes: [.v6]
)

// Tests are compiled often and run once, and optimizing them is half of compiling them. What they test is optimized.
for target in package.targets where target.isTest { target.swiftSettings = [.unsafeFlags(["-Onone"])] }
