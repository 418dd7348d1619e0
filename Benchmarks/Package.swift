// swift-tools-version: 6.1
// Benchmarks of lathe, apart from the product: `make bench`.

import PackageDescription

let package = Package(
    name: "lathe-bench",
    dependencies: [.package(name: "lathe", path: "..")],
    targets: [
        .executableTarget(
            name: "lathe-bench",
            dependencies: [
                .product(name: "CompressionEngine", package: "lathe"),
                .product(name: "Explorer", package: "lathe"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
