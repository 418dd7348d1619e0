import COnnxRuntime

extension Session {
    /// Which inputs a run is given and which outputs it is asked for, looked up once for many runs.
    ///
    /// `@unchecked Sendable`: immutable; the C strings belong to the name tables, which it keeps alive.
    public struct Signature: @unchecked Sendable {
        /// Indices into the session's input names and outputs.
        fileprivate let inputs: [Int]
        fileprivate let outputs: [Int]
        fileprivate let inputPointers: [UnsafePointer<CChar>]
        fileprivate let outputPointers: [UnsafePointer<CChar>]
        fileprivate let tables: (NameTable, NameTable)
    }

    /// Looks up names for `run(_:_:)`.
    ///
    /// - Parameters:
    ///   - inputs: Names of inputs and overridable initializers; without them, all `inputs` in order.
    ///   - outputs: Names of outputs; without them, all in order.
    /// - Throws: `.invalidInput` or `.invalidOutput` for a name the model does not have or that comes twice.
    public func signature(inputs: [String]? = nil, outputs: [String]? = nil) throws(OnnxRuntimeError) -> Signature {
        var inputIndices: [Int] = []
        // Weights can be inputs too, hundreds of them: looking for doubles in the list itself would be quadratic.
        var given = [Bool](repeating: false, count: inputTable.strings.count)
        for name in inputs ?? self.inputs.map(\.name) {
            guard let index = inputTable.index(of: name) else {
                throw .invalidInput(name: name, reason: "is not one of \(inputTable.strings)", doing: doing)
            }
            guard !given[index] else { throw .invalidInput(name: name, reason: "was given twice", doing: doing) }
            given[index] = true
            inputIndices.append(index)
        }
        var outputIndices: [Int] = []
        for name in outputs ?? self.outputs.map(\.name) {
            guard let index = outputTable.index(of: name) else {
                throw .invalidOutput(name: name, reason: "is not one of \(outputTable.strings)", doing: doing)
            }
            outputIndices.append(index)
        }
        return Signature(
            inputs: inputIndices, outputs: outputIndices, inputPointers: inputIndices.map { inputTable.pointers[$0] },
            outputPointers: outputIndices.map { outputTable.pointers[$0] }, tables: (inputTable, outputTable))
    }

    /// Runs the model. Callable from several threads at once.
    ///
    /// - Parameters:
    ///   - inputs: A value for each of `inputs`, and for any of `overridableInitializers`, in any order.
    ///   - outputs: The outputs wanted, all of them if nil.
    /// - Returns: The outputs in the order asked for.
    /// - Throws: `.invalidInput` for a name, type or shape the model does not take; `.terminated` after
    ///   `RunOptions.terminate()`; `.valueInUse` when an input is being written; `.failed` when the runtime fails.
    public func run(
        inputs: [(String, Value)], outputs: [String]? = nil, options: RunOptions? = nil
    ) throws(OnnxRuntimeError) -> [Value] {
        try run(signature(inputs: inputs.map(\.0), outputs: outputs), inputs.map(\.1), options: options)
    }

    /// Runs the model with names looked up before.
    public func run(
        _ signature: Signature, _ inputs: [Value], options: RunOptions? = nil
    ) throws(OnnxRuntimeError) -> [Value] {
        try checkNotTerminated(options)
        try check(inputs, against: signature)
        try beginReading(inputs)
        defer { for value in inputs { value.endReading() } }

        var results = [OpaquePointer?](repeating: nil, count: signature.outputs.count)
        let status = call(signature, inputs, &results, options)
        if let status {
            for case let handle? in results { library.api.pointee.ReleaseValue(handle) }
            throw failure(status, options, given: signature)
        }
        return try adopt(results)
    }

    /// Runs the model into tensors that exist already, without allocating outputs.
    ///
    /// - Parameter outputs: A writable tensor per output asked for, of exactly the type and shape that comes out.
    /// - Throws: As `run(_:_:)`; `.invalidOutput` for a tensor that does not fit or may not be written;
    ///   `.valueInUse` when it is in use, for one as an input of this run.
    public func run(
        _ signature: Signature, _ inputs: [Value], into outputs: [Value], options: RunOptions? = nil
    ) throws(OnnxRuntimeError) {
        try checkNotTerminated(options)
        try check(inputs, against: signature)
        guard outputs.count == signature.outputs.count else {
            throw .invalidOutput(
                name: self.outputs.first?.name ?? "",
                reason: "and the others: \(signature.outputs.count) were asked for and \(outputs.count) given",
                doing: doing)
        }
        for (index, value) in zip(signature.outputs, outputs) { try checkOutput(self.outputs[index], value) }
        try beginReading(inputs)
        defer { for value in inputs { value.endReading() } }
        try beginWriting(outputs)
        defer { for value in outputs { value.endWriting() } }

        var results: [OpaquePointer?] = outputs.map(\.handle)
        let status = call(signature, inputs, &results, options)
        if let status { throw failure(status, options, given: signature) }
    }

    // MARK: Pieces

    var doing: String { "running \(label)" }

    /// Throws before a run whose options were terminated already.
    func checkNotTerminated(_ options: RunOptions?) throws(OnnxRuntimeError) {
        if let options, options.isTerminated { throw .terminated(doing: doing) }
    }

    func checkInput(_ index: Int, _ value: Value) throws(OnnxRuntimeError) {
        let description = inputDescription(index)
        guard value.library === library else {
            throw .invalidInput(name: description.name, reason: "belongs to another copy of the library", doing: doing)
        }
        if let reason = description.mismatch(with: value) {
            throw .invalidInput(name: description.name, reason: reason, doing: doing)
        }
    }

    func checkOutput(_ description: ValueDescription, _ value: Value) throws(OnnxRuntimeError) {
        if let reason = description.mismatch(with: value) {
            throw .invalidOutput(name: description.name, reason: reason, doing: doing)
        }
        guard value.library === library else {
            throw .invalidOutput(name: description.name, reason: "belongs to another copy of the library", doing: doing)
        }
        guard value.isMutable else {
            throw .invalidOutput(name: description.name, reason: "is to go into read-only memory", doing: doing)
        }
    }

    func beginReading(_ values: [Value]) throws(OnnxRuntimeError) {
        for index in values.indices where !values[index].beginReading() {
            for earlier in values[..<index] { earlier.endReading() }
            throw Value.readConflict
        }
    }

    func beginWriting(_ values: [Value]) throws(OnnxRuntimeError) {
        for index in values.indices where !values[index].beginWriting() {
            for earlier in values[..<index] { earlier.endWriting() }
            throw Value.writeConflict
        }
    }

    /// Calls into the runtime with this thread's treatment of denormals as the session wants it.
    @inline(__always)
    func withDenormalHandling(_ body: () -> OpaquePointer?) -> OpaquePointer? {
        flushesDenormals ? Denormals.with(flushed: true, body) : body()
    }

    /// What a failed run throws. After `terminate` that is cancellation, whatever the runtime calls it.
    func failure(_ status: OpaquePointer, _ options: RunOptions?, given signature: Signature?) -> OnnxRuntimeError {
        let error = RuntimeLibrary.error(status, library.api, doing: doing)
        if let options, options.isTerminated { return .terminated(doing: doing) }
        if let signature, let missing = inputs.indices.first(where: { !signature.inputs.contains($0) }) {
            return .invalidInput(name: inputs[missing].name, reason: "was not given", doing: doing)
        }
        return error
    }

    /// Takes over the runtime's outputs; on failure all of them are released.
    func adopt(_ handles: [OpaquePointer?]) throws(OnnxRuntimeError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(handles.count)
        for (index, handle) in handles.enumerated() {
            do throws(OnnxRuntimeError) {
                guard let handle else {
                    throw OnnxRuntimeError.failed(code: .fail, message: "output \(index) is missing", doing: doing)
                }
                values.append(try Value(adopting: handle, library: library, doing: doing))
            } catch {
                for case let rest? in handles[(index + 1)...] { library.api.pointee.ReleaseValue(rest) }
                throw error
            }
        }
        return values
    }

    // MARK: The call

    private func check(_ inputs: [Value], against signature: Signature) throws(OnnxRuntimeError) {
        guard inputs.count == signature.inputs.count else {
            throw .invalidInput(
                name: self.inputs.first?.name ?? "",
                reason: "and the others: \(signature.inputs.count) are expected and \(inputs.count) were given",
                doing: doing)
        }
        for position in inputs.indices { try checkInput(signature.inputs[position], inputs[position]) }
    }

    private func call(
        _ signature: Signature, _ inputs: [Value], _ results: inout [OpaquePointer?], _ options: RunOptions?
    ) -> OpaquePointer? {
        // At least one element each: the runtime wants addresses even where it reads nothing.
        withUnsafeTemporaryAllocation(of: OpaquePointer.self, capacity: max(inputs.count, 1)) { handles in
            handles.initialize(repeating: handle)
            for (index, value) in inputs.enumerated() { handles[index] = value.handle }
            guard let base = handles.baseAddress else { return nil }
            return withDenormalHandling {
                library.api.pointee.Run(
                    handle, options?.handle, signature.inputPointers, base, inputs.count, signature.outputPointers,
                    signature.outputPointers.count, &results)
            }
        }
    }
}
