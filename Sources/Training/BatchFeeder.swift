import Datasets
import EngineSupport
import Measurement
import OnnxRuntime

/// Puts samples of an epoch's random order into a shard's input tensors, varied by augmentation.
///
/// What happens to a sample depends on seed, epoch and place alone, never on threads.
struct BatchFeeder: Sendable {
    private let samples: SampleSet
    private let augmentation: Augmentation
    private let seed: UInt64
    /// Channels, height and width of the first input, if it is an image of floats.
    private let image: (channels: Int, height: Int, width: Int)?
    /// What shifts bring in at the edges.
    private let background: Float

    struct Entry: Sendable {
        var sample: Int
        var rows = 0
        var columns = 0
        var mirrored = false
    }

    init(_ samples: SampleSet, augmentation: Augmentation, seed: UInt64) throws {
        self.samples = samples
        self.augmentation = augmentation
        self.seed = seed
        guard !augmentation.isNone, let shape = Self.image(in: samples) else {
            image = nil
            background = 0
            return
        }
        image = shape
        // Drawings on an empty ground are surrounded by that ground, photographs by the mean.
        let some = try samples.prepared.samples(0..<min(64, samples.count)).bindMemory(to: Float.self)
        let least = some.min() ?? 0
        background = some.count { $0 == least } * 5 > some.count ? least : 0
    }

    /// Channels, height and width of the first input, channels first or a plane without channels; `nil` if it is no image of floats.
    private static func image(in samples: SampleSet) -> (channels: Int, height: Int, width: Int)? {
        guard let input = samples.inputs.first, input.type == .float32, !input.isWhole else { return nil }
        let shape = Array(input.valueShape(rows: 1).dropFirst())
        switch shape.count {
        case 3: return (shape[0], shape[1], shape[2])
        case 2: return (1, shape[0], shape[1])
        default: return nil
        }
    }

    /// What to say where augmentation is asked for and cannot be done: one recipe fits images and other samples.
    static func remark(_ samples: SampleSet, augmentation: Augmentation) -> String? {
        augmentation.isNone || image(in: samples) != nil ? nil : "samples are not images: not shifted or mirrored"
    }

    /// The order of an epoch.
    func order(epoch: Int) -> [Entry] {
        var generator = SeededGenerator(seed: seed &+ UInt64(epoch) &* 0x9E37_79B9_7F4A_7C15)
        let order = generator.permutation(samples.count)
        let span = 2 * augmentation.shift + 1
        return order.map { sample in
            var entry = Entry(sample: sample)
            if augmentation.shift > 0 {
                entry.rows = generator.below(span) - augmentation.shift
                entry.columns = generator.below(span) - augmentation.shift
            }
            if augmentation.flip { entry.mirrored = generator.below(2) == 1 }
            return entry
        }
    }

    /// Fills one input tensor of a shard.
    func fill(_ value: Value, input: Int, with entries: ArraySlice<Entry>) throws {
        let width = samples.inputs[input].bytesPerSample
        try value.withUnsafeMutableBytes { bytes in
            for (place, entry) in entries.enumerated() {
                let source = try samples.prepared.samples(entry.sample..<entry.sample + 1, input: input)
                let target = UnsafeMutableRawBufferPointer(rebasing: bytes[place * width..<(place + 1) * width])
                if input == 0, let image, entry.rows != 0 || entry.columns != 0 || entry.mirrored {
                    vary(source.bindMemory(to: Float.self), into: target.bindMemory(to: Float.self), entry, image)
                } else {
                    target.copyMemory(from: source)
                }
            }
        }
    }

    private func vary(
        _ source: UnsafeBufferPointer<Float>, into target: UnsafeMutableBufferPointer<Float>, _ entry: Entry,
        _ image: (channels: Int, height: Int, width: Int)
    ) {
        for channel in 0..<image.channels {
            for row in 0..<image.height {
                let to = (channel * image.height + row) * image.width
                let from = row + entry.rows
                guard from >= 0, from < image.height else {
                    for column in 0..<image.width { target[to + column] = background }
                    continue
                }
                let line = (channel * image.height + from) * image.width
                for column in 0..<image.width {
                    let shifted = (entry.mirrored ? image.width - 1 - column : column) + entry.columns
                    target[to + column] = shifted >= 0 && shifted < image.width ? source[line + shifted] : background
                }
            }
        }
    }
}
