import Datasets
import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph

/// What `lathe data check` finds.
struct DataCheckDocument: JSONDocument {
    struct Range: Encodable {
        var minimum: Double
        var mean: Double
        var maximum: Double
        var standardDeviation: Double
    }

    struct Input: Encodable {
        var name: String
        var type: String
        /// Of one sample.
        var shape: [Int]
        var all: Range
        /// By channel, of images; else by row, where there are up to four; empty otherwise.
        var channels: [Range]
    }

    let schema = "lathe.data/1"
    var dataset: String
    var metric: String
    var split: String
    /// In the split.
    var count: Int
    /// That were looked at.
    var samples: Int
    var inputs: [Input]
    /// Of the first samples.
    var labels: [String]
    var notes: [String]
    var warnings: [String]

    init(dataset: Dataset, split: DatasetSplit, limit: Int, model: Model) throws {
        self.dataset = dataset.name
        self.split = split.name.rawValue
        count = split.count
        let prepared = try split.prepared()
        metric = try MetricGuess.declared(dataset, prepared, of: model).rawValue
        samples = min(limit, prepared.count)
        notes = dataset.notes
        warnings = []
        inputs = []
        for (index, input) in prepared.inputs.enumerated() {
            let layout = SampleLayout(input.shape)
            var total = Moments()
            var channels = [Moments](repeating: Moments(), count: layout.channels)
            var isRepeated = samples > 1
            var first: [Float] = []
            for position in 0..<samples {
                let values = try prepared.values(at: position, input: index)
                if position == 0 { first = values } else if isRepeated { isRepeated = values == first }
                total.add(values, from: 0, step: 1, count: values.count)
                for channel in channels.indices {
                    let (start, step, count) = layout.part(channel, of: values.count)
                    channels[channel].add(values, from: start, step: step, count: count)
                }
            }
            inputs.append(Input(name: input.name, type: input.type.description, shape: input.shape, all: total.range, channels: channels.count > 1 ? channels.map(\.range) : []))
            let what = "input '\(input.name)'"
            if total.odd > 0 { warnings.append("\(what): \(total.odd) values are NaN or infinite") }
            let range = total.range
            if input.elementCount > 1, range.minimum == range.maximum, !["attention_mask", "token_type_ids"].contains(input.name) {
                warnings.append("\(what): every value is \(range.minimum)")
            } else if isRepeated, !input.isShared, !["attention_mask", "token_type_ids", "position_ids"].contains(input.name) {
                warnings.append("\(what): all \(samples) samples are the same")
            }
            if input.type.isFloatingPoint, range.minimum < 0, abs(range.mean) > 3 * max(1, range.standardDeviation) {
                warnings.append(
                    "\(what): the mean is \(Self.short(range.mean)), far from 0 for a standard deviation of \(Self.short(range.standardDeviation)): do mean and std belong to this scale?"
                )
            }
            if input.type.isFloatingPoint, layout.isImage, range.maximum > 16, range.minimum >= 0 {
                warnings.append("\(what): pixels reach \(Self.short(range.maximum)); most models take 0…1 or normalized ones (scale: 0.00392156862745098)")
            }
        }
        labels = []
        if let targets = prepared.targets {
            for position in 0..<min(8, samples) { labels.append(try Self.text(prepared.target(position), classes: dataset.classes)) }
            if let all = split.labels, let largest = all.max(), let scores = model.graph.outputs.first?.shape?.last?.fixedValue, scores > 1, largest >= scores {
                warnings.append("labels reach \(largest), the model gives \(scores) scores")
            }
            if let beyond = try Self.pixelBeyond(targets, prepared, samples, dataset, model) { warnings.append(beyond) }
        }
    }

    /// Says that masks hold a class that the output has no scores for.
    private static func pixelBeyond(_ targets: Targets, _ prepared: PreparedSamples, _ samples: Int, _ dataset: Dataset, _ model: Model) throws -> String? {
        guard targets.kind == .classes, targets.shape?.count == 2, let output = model.graph.outputs.first?.shape?.map(\.fixedValue), output.count == 4 else { return nil }
        // Channels are fewer than pixels, first or last.
        guard let classes = [output[1], output[3]].compactMap({ $0 }).min(), classes > 1 else { return nil }
        for position in 0..<samples {
            guard case .classes(let values, _) = try prepared.target(position) else { continue }
            if let value = values.first(where: { Int($0) >= classes && Int($0) != dataset.metricOptions.ignore }) {
                return "\(prepared.targetPlace(position)) has class \(value), the model gives \(classes); 'ignore: \(value)' leaves such pixels out"
            }
        }
        return nil
    }

    /// A label as people read it.
    private static func text(_ target: SampleTarget, classes: [String]) -> String {
        func named(_ label: Int) -> String { classes.indices.contains(label) ? "\(label) \(classes[label])" : "\(label)" }
        switch target {
        case .label(let label): return named(label)
        case .numbers(let numbers, let shape):
            let shown = numbers.prefix(6).map { short(Double($0)) }.joined(separator: ", ")
            return shape.isEmpty ? shown : "[\(shown)\(numbers.count > 6 ? ", …" : "")] \(shape.count > 1 ? shape.map(String.init).joined(separator: "×") : "")"
        case .classes(let numbers, let shape):
            guard shape.count > 1 else { return "[" + numbers.prefix(12).map(String.init).joined(separator: ", ") + (numbers.count > 12 ? ", …]" : "]") }
            let counts = Dictionary(grouping: numbers, by: { $0 }).mapValues(\.count).sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            let shares = counts.prefix(5).map { "\(named(Int($0.key))) \(Int((100 * Double($0.value) / Double(max(1, numbers.count))).rounded())) %" }
            return shape.map(String.init).joined(separator: "×") + ": " + shares.joined(separator: ", ") + (counts.count > 5 ? ", …" : "")
        case .text(let text): return "'\(text.count > 60 ? text.prefix(60) + "…" : text)'"
        case .boxes(let boxes):
            guard let first = boxes.first else { return "no boxes" }
            let corners = [first.left, first.top, first.right, first.bottom].map { String(Int($0.rounded())) }.joined(separator: ", ")
            return "\(boxes.count) \(boxes.count == 1 ? "box" : "boxes"), the first \(named(first.category)) at [\(corners)]"
        }
    }

    static func short(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e6 ? String(Int(value)) : String(format: "%.4g", value)
    }
}

/// Sums for mean and standard deviation.
private struct Moments {
    var count = 0
    var odd = 0
    var sum = 0.0
    var squares = 0.0
    var least = Double.infinity
    var most = -Double.infinity

    mutating func add(_ values: [Float], from start: Int, step: Int, count: Int) {
        var (sum, squares, least, most, odd) = (0.0, 0.0, Double.infinity, -Double.infinity, 0)
        values.withUnsafeBufferPointer { values in
            for index in 0..<count {
                let value = Double(values[start + index * step])
                guard value.isFinite else {
                    odd += 1
                    continue
                }
                sum += value
                squares += value * value
                least = min(least, value)
                most = max(most, value)
            }
        }
        self.count += count - odd
        self.odd += odd
        self.sum += sum
        self.squares += squares
        self.least = min(self.least, least)
        self.most = max(self.most, most)
    }

    var range: DataCheckDocument.Range {
        guard count > 0 else { return DataCheckDocument.Range(minimum: 0, mean: 0, maximum: 0, standardDeviation: 0) }
        let mean = sum / Double(count)
        return DataCheckDocument.Range(
            minimum: least, mean: mean, maximum: most, standardDeviation: max(0, squares / Double(count) - mean * mean).squareRoot())
    }
}

/// Where channels, rows and columns lie in a sample.
struct SampleLayout {
    /// 1 where there are none.
    let channels: Int
    let height: Int
    let width: Int
    let isChannelFirst: Bool
    /// Whether it can be drawn as a picture.
    let isImage: Bool

    init(_ shape: [Int]) {
        let sides = shape.count == 3 ? shape : shape.count == 2 ? [1] + shape : []
        if sides.count == 3, sides[0] == 1 || sides[0] == 3, sides[1] >= 8, sides[2] >= 8 {
            (channels, height, width, isChannelFirst, isImage) = (sides[0], sides[1], sides[2], true, true)
        } else if sides.count == 3, sides[2] == 1 || sides[2] == 3, sides[0] >= 8, sides[1] >= 8 {
            (channels, height, width, isChannelFirst, isImage) = (sides[2], sides[0], sides[1], false, true)
        } else {
            (channels, height, width, isChannelFirst, isImage) = (1, 1, shape.reduce(1, *), true, false)
        }
    }

    /// The first element, step and number of a channel's.
    func part(_ channel: Int, of count: Int) -> (start: Int, step: Int, count: Int) {
        let area = count / channels
        return isChannelFirst ? (channel * area, 1, area) : (channel, channels, area)
    }

    func index(_ channel: Int, _ row: Int, _ column: Int) -> Int {
        isChannelFirst ? (channel * height + row) * width + column : (row * width + column) * channels + channel
    }
}
