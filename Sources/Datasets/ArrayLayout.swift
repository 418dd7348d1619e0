/// How the arrays of a file stand for the calls of a model whose inputs do not all have the batch in front.
enum ArrayLayout {
    /// Whether an array holds, along one more dimension than the input has, what several calls take.
    static func isStacked(_ shape: [Int], for input: ModelInputDescription) -> Bool {
        guard let extents = input.shape else { return false }
        // Rows of one more dimension of extent 1 fill a free batch as they are.
        if input.sampleShape != nil, extents[0] == nil, shape.dropFirst().first == 1 { return false }
        return shape.count == extents.count + 1 && fits(shape.dropFirst(), extents)
    }

    /// Whether arrays are together what the model takes in one call: each has its input's very shape, and they cannot be
    /// rows of samples, since one is a single number or they differ in their first extent.
    static func isOneCall(_ arrays: [(input: ModelInputDescription, shape: [Int])]) -> Bool {
        guard arrays.allSatisfy({ array in array.input.shape.map { array.shape.count == $0.count && fits(array.shape[...], $0) } ?? false })
        else { return false }
        let rows = Set(arrays.map { $0.shape.first })
        return rows.count > 1 || rows.contains(nil)
    }

    private static func fits(_ shape: ArraySlice<Int>, _ extents: [Int?]) -> Bool {
        zip(shape, extents).allSatisfy { $1 == nil || $0 == $1 }
    }
}
