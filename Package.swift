// swift-tools-version: 6.1
// lathe: a terminal explorer for neural-network compression trade-offs.
// Who may import whom is checked by scripts/check-imports.sh; the reasons stand in Docs/Architecture.md.

import PackageDescription

let package = Package(
    name: "lathe",
    products: [
        .executable(name: "lathe", targets: ["lathe"]),
        // For the nested package in Benchmarks/.
        .library(name: "CompressionEngine", targets: ["CompressionEngine", "ModelGraph", "OnnxRuntime"]),
        .library(name: "Explorer", targets: ["Explorer", "TerminalCells"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
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
        .target(
            name: "Datasets",
            dependencies: [
                "EngineSupport", "ModelGraph", "CZip", "CZlib", "CImage",
                .product(name: "Yams", package: "Yams"),
                .product(name: "SwiftCSV", package: "SwiftCSV"),
            ]),
        .target(name: "Archive", dependencies: ["EngineSupport", "ModelGraph", "CZlib"]),
        .target(name: "Measurement", dependencies: ["EngineSupport", "ModelGraph", "OnnxRuntime", "Datasets", "Archive"]),
        .target(
            name: "Techniques",
            dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "OnnxRuntime", "Datasets", "Archive", "Measurement"]),
        .target(name: "Pruning", dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "Datasets", "Techniques"]),
        .target(name: "Quantization", dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "Datasets", "Techniques"]),
        .target(name: "Factorization", dependencies: ["EngineSupport", "ModelGraph", "LinearAlgebra", "Datasets", "Archive", "Techniques"]),
        .target(
            name: "Training",
            dependencies: ["EngineSupport", "ModelGraph", "Differentiation", "OnnxRuntime", "Datasets", "Measurement", "Techniques"]),
        .target(
            name: "Learning",
            dependencies: [
                "EngineSupport", "ModelGraph", "Differentiation", "LinearAlgebra", "OnnxRuntime", "Datasets", "Measurement", "Techniques", "Training",
                "Pruning", "Quantization", "Factorization",
            ]),
        .target(
            name: "Recipes",
            dependencies: [
                "EngineSupport", "ModelGraph", "Datasets", "Archive", "Measurement", "Techniques", "Pruning", "Quantization", "Factorization", "Training", "Learning",
                .product(name: "Yams", package: "Yams"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .target(
            name: "CompressionEngine",
            dependencies: [
                "EngineSupport", "ModelGraph", "OnnxRuntime", "Datasets", "Archive", "Measurement", "Techniques", "Training", "Learning", "Recipes",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),

        // The terminal.
        .target(name: "TerminalCells"),
        .target(name: "TerminalCurses", dependencies: ["TerminalCells", "CNcurses", "CTerminalGuard"]),
        .target(
            name: "Explorer",
            dependencies: [
                "TerminalCells", "CompressionEngine", "EngineSupport", "ModelGraph", "Measurement", "Techniques", "Training", "Recipes", "Archive", "Datasets",
                .product(name: "Yams", package: "Yams"),
            ]),

        .executableTarget(
            name: "lathe",
            dependencies: [
                "CompressionEngine", "EngineSupport", "Datasets", "Archive", "Measurement", "Techniques", "Training", "Recipes", "Explorer", "TerminalCurses", "TerminalCells",
                "OnnxRuntime", "ModelGraph", .product(name: "Yams", package: "Yams"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // Tests.
        .testTarget(name: "ModelGraphTests", dependencies: ["ModelGraph"]),
        .testTarget(name: "OnnxRuntimeTests", dependencies: ["OnnxRuntime"]),
        .testTarget(name: "DifferentiationTests", dependencies: ["Differentiation", "ModelGraph", "OnnxRuntime"], exclude: ["Reference"]),
        .testTarget(name: "CompressionEngineTests", dependencies: ["CompressionEngine", "ModelGraph", "OnnxRuntime"]),
        .testTarget(name: "TerminalCellsTests", dependencies: ["TerminalCells"], exclude: ["Snapshots"]),
        .testTarget(name: "TerminalCursesTests", dependencies: ["TerminalCurses", "TerminalCells", "CTerminalGuard"]),
        .testTarget(name: "ExplorerTests", dependencies: ["Explorer", "TerminalCells", "CompressionEngine", "ModelGraph"], exclude: ["Snapshots"]),
        .testTarget(name: "EndToEndTests", dependencies: []),
    ],
    swiftLanguageModes: [.v6]
)
