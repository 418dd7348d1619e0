import ModelGraph

/// The weight tensors of layers, each once, however many layers read it.
package struct PrunableWeights {
    package struct Entry {
        package var key: TensorKey
        package var tensor: Tensor
        package var layer: Layer
        /// Place of the target in the list the entry was made from.
        package var target: Int
        /// Axis along which the layer's inputs lie.
        package var inputAxis: Int
    }

    package var entries: [Entry] = []

    /// Main and recurrent weights of the targets in order; a tensor shared by several belongs to the first.
    package init(_ targets: [LayerTarget], in model: Model) {
        var seen = Set<TensorKey>()
        for (number, target) in targets.enumerated() {
            for name in [target.layer.weight] + target.layer.otherWeights {
                guard let (tensor, owner) = model.initializer(name, from: target.layer.path) else { continue }
                let key = TensorKey(path: owner, name: name)
                guard tensor.elementType.isFloatingPoint, seen.insert(key).inserted else { continue }
                entries.append(Entry(key: key, tensor: tensor, layer: target.layer, target: number, inputAxis: target.layer.inputAxis))
            }
        }
    }

    /// Puts new tensors in the places of the old.
    package static func store(_ tensors: [TensorKey: Tensor], in model: inout Model) {
        for (path, group) in Dictionary(grouping: tensors, by: \.key.path) {
            if path.isMain {
                for (key, tensor) in group { model.graph.initializers[key.name] = tensor }
            } else if var graph = model.graph[path] {
                for (key, tensor) in group { graph.initializers[key.name] = tensor }
                model.graph[path] = graph
            }
        }
    }

    /// Why a layer's weights cannot be zeroed one by one; `nil` if they can.
    package static func refusal(for layer: Layer) -> String? {
        layer.isFloat ? nil : "its weights are quantized already"
    }
}

extension Tensor {
    /// The same tensor with some elements zero and the bits of all others untouched.
    /// - Parameter zeros: sets the flags of elements to clear.
    package func clearing(_ zeros: (UnsafeMutableBufferPointer<Bool>) -> Void) throws(ModelGraphError) -> Tensor {
        let width = (elementType.bitWidth ?? 8) / 8
        let count = count
        let source = storage.bytes
        let flags = UnsafeMutableBufferPointer<Bool>.allocate(capacity: count)
        defer { flags.deallocate() }
        flags.initialize(repeating: false)
        zeros(flags)
        let storage = TensorStorage(byteCount: count * width) { target in
            func copy<T: FixedWidthInteger>(_: T.Type) {
                for index in 0..<count {
                    let value = source.loadUnaligned(fromByteOffset: index * width, as: T.self)
                    target.storeBytes(of: flags[index] ? 0 : value, toByteOffset: index * width, as: T.self)
                }
            }
            switch width {
            case 2: copy(UInt16.self)
            case 4: copy(UInt32.self)
            default: copy(UInt64.self)
            }
        }
        return try replacing(elementType: elementType, dims: dims, storage: storage)
    }
}
