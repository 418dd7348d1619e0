import EngineSupport
import Metrics
import PythonOracle
import Testing

/// Transforms against NumPy and SciPy.
@Suite struct TransformTests {
    @Test func transformsAreNumPys() throws {
        struct Case: Encodable {
            var values: [Float]
            var shape: [Int]
            var call: String
        }
        var generator = SeededGenerator(seed: 11)
        let shape = [3, 4, 5]
        let values = generator.normals(60)
        let transforms: [([OutputTransform], String)] = [
            ([.softmax(axis: 0)], "softmax(x, axis=0)"), ([.softmax(axis: 1)], "softmax(x, axis=1)"), ([.softmax(axis: -1)], "softmax(x, axis=-1)"), ([.sigmoid], "expit(x)"),
            ([.argmax(axis: 1)], "x.argmax(1)"), ([.argmax(axis: -1)], "x.argmax(-1)"), ([.threshold(0.25)], "(x > 0.25)"), ([.transpose([2, 0, 1])], "x.transpose(2, 0, 1)"),
            ([.transpose([-1, 0, 1])], "x.transpose(2, 0, 1)"), ([.select(axis: 1, index: 2)], "x[:, 2]"), ([.select(axis: -1, index: -1)], "x[..., -1]"),
            ([.transpose([1, 2, 0]), .softmax(axis: 2), .select(axis: 2, index: 0)], "softmax(x.transpose(1, 2, 0), axis=2)[..., 0]"),
        ]
        let expected = try oracle(
            transforms.map { Case(values: values, shape: shape, call: $0.1) },
            """
            from scipy.special import softmax, expit
            for case in cases:
                x = np.array(case["values"], float).reshape(case["shape"])
                y = eval(case["call"])
                results.append({**{f"v{i}": v for i, v in enumerate(y.ravel())}, **{f"s{i}": s for i, s in enumerate(y.shape)}})
            """)
        for ((transforms, call), expected) in zip(transforms, expected) {
            let (found, newShape) = try OutputTransforms.apply(transforms, values: values, shape: shape)
            #expect(newShape.enumerated().allSatisfy { expected["s\($0)"] == Double($1) } && expected["s\(newShape.count)"] == nil, "\(call)")
            #expect(found.count == newShape.reduce(1, *))
            for (index, value) in found.enumerated() { expectSame(Double(value), expected["v\(index)"], call) }
        }
    }

    @Test func errorsNameShapeAndAxis() {
        let apply = { (transform: OutputTransform) in try OutputTransforms.apply([transform], values: [1, 2, 3, 4, 5, 6], shape: [2, 3], name: "logits") }
        #expect { try apply(.softmax(axis: 2)) } throws: { "\($0)".contains("softmax along axis 2 of shape [2, 3]") && "\($0)".contains("logits") }
        #expect { try apply(.argmax(axis: -3)) } throws: { "\($0)".contains("axis -3") }
        #expect { try apply(.select(axis: 1, index: 3)) } throws: { "\($0)".contains("entry 3 along axis 1 of shape [2, 3]") }
        #expect { try apply(.transpose([0, 0])) } throws: { "\($0)".contains("[0, 0]") }
        #expect { try OutputTransforms.apply([], values: [1], shape: [2]) } throws: { "\($0)".contains("1 values") }
    }
}
