import EngineSupport
import Metrics

/// What a draft says about labels.
extension DeclarationDraft {
    mutating func masks(_ folder: String, _ masks: DatasetDeclaration.Masks) throws {
        let images = try SampleFolder(path: folder).files
        // A sample of them, spread over all: what marks pixels without a class is in most masks.
        let looked = stride(from: 0, to: images.count, by: max(1, images.count / 64)).map { images[$0] }
        var values: Set<Int32> = []
        for image in looked {
            guard let path = MaskTargets.path(masks, of: image, below: folder), InputFile.exists(path),
                let mask = try? MaskDecoding(colors: [], unknown: nil).decode(path: path)
            else { continue }
            values.formUnion(mask.classes)
        }
        let isBlackAndWhite = values == [0, 255]
        if values.contains(255), !isBlackAndWhite {
            add(
                "metric: {kind: mean-iou, ignore: 255}",
                "masks give a class per pixel, and some are 255: taken for pixels without a class. pixel-accuracy is the other metric of masks")
        } else {
            add("metric: mean-iou", "masks give a class per pixel; pixel-accuracy is the other metric of masks")
        }
        try pixels(first: images[0], letterbox: false)
        if isBlackAndWhite {
            add("  colors: [[0, 0, 0], [255, 255, 255]]", "masks are black and white, taken for classes 0 and 1")
        } else {
            let largest = values.filter { $0 != 255 }.max()
            let found = largest.map { " The largest of \(looked.count) masks is \($0)." } ?? ""
            lines.append("# Gray levels or palette indices of masks are classes.\(found) Masks in color need 'colors: [[r, g, b], …]' under preprocessing.")
        }
        let suffixes = [("suffix", masks.suffix), ("mask_suffix", masks.maskSuffix)].filter { !$0.1.isEmpty }.map { ", \($0.0): \(Self.quoted($0.1))" }.joined()
        if !suffixes.isEmpty { lines.append("# Names of images and masks are the same but for how they end.") }
        source("folder: \(shown(folder)), masks: \(shown(masks.folder))\(suffixes)")
    }

    /// The key of the array of labels, where it is not named so. Every other array that could be one is mentioned.
    mutating func labelArray(_ file: NumPyFile, sample: String?, _ inputs: [ModelInputDescription]) -> String {
        let names = file.arrays.map(\.name)
        let rows = file.arrays.first { $0.name == sample }?.header.shape.first
        var unused = file.arrays.filter { array in
            array.name != sample && !array.name.isEmpty && !inputs.contains { $0.name == array.name } && (rows == nil || array.header.shape.first == rows)
        }.map(\.name)
        var key = ""
        if let named = names.first(where: { ["labels", "label"].contains($0) }) {
            unused.removeAll { $0 == named }
        } else if let guess = names.first(where: { ["y", "target", "targets", "y_test", "y_val", "class"].contains($0) }) {
            lines.append("# No array is named labels: '\(guess.inComment)' is taken for them.")
            key = ", labels: \(Self.quoted(guess))"
            unused.removeAll { $0 == guess }
        } else if unused.count == 1, let only = unused.popLast(), sample != nil {
            lines.append("# No array is named labels: '\(only.inComment)', the only other one with an entry for each sample, is taken for them.")
            key = ", labels: \(Self.quoted(only))"
        }
        if !unused.isEmpty {
            let list = unused.map { "'\($0.inComment)'" }.joined(separator: ", ")
            lines.append("# Not used: \(list). 'labels: name' under source takes one for the labels.")
        }
        return key
    }

    mutating func addContent(_ table: FileTable) {
        if let note = table.note { lines.append("# \(note.inComment)") }
        switch table.content {
        case .none: lines.append("# No labels: outputs are compared with the original model's.")
        case .labels(let texts): addLabels(texts)
        case .texts: add("metric: cer", "transcripts; wer counts words, exact-match whole lines. The metric's 'alphabet' says which output is which character")
        case .unknown(let texts):
            if texts.allSatisfy({ Int($0) != nil }) {
                add("metric: top1", "a column of whole numbers is taken for classes; 'metric: mae' makes them numbers")
            } else if texts.contains(where: { Float($0) == nil }) {
                add(
                    "metric: cer",
                    "the other column is taken for transcripts; a header line 'file,label' makes it classes. The metric's 'alphabet' says which output is which character")
            } else {
                add("metric: mae", "a column of numbers")
            }
        case .numbers(let numbers, let width) where width > 1 && numbers.allSatisfy { $0 == 0 || $0 == 1 }:
            add("metric: multilabel-map", "\(width) columns of 0 and 1 are \(width) labels, of which a sample may have several; multilabel-f1 is the other metric of such labels")
        case .numbers(_, let width): add("metric: \(width > 1 ? "rmse" : "mae")", "\(width == 1 ? "one number" : "\(width) numbers") a sample")
        }
    }

    /// The metric of a column of labels, by what the loader takes it for.
    mutating func addLabels(_ texts: [String]) {
        let count = Set(texts).count
        if let reason = quantity(texts) {
            add("metric: mae", "\(reason)")
        } else {
            let order = texts.contains { Int($0) == nil } ? ", numbered in text order; 'classes' can say otherwise" : ""
            add("metric: top1", "\(count) different labels are classes\(order)")
        }
    }

    /// Why labels are numbers and no classes; `nil` where they are classes.
    private func quantity(_ texts: [String]) -> String? {
        let numbers = texts.compactMap { Double($0) }
        guard numbers.count == texts.count else { return nil }
        if numbers.contains(where: { $0 != $0.rounded() }) { return "labels have decimals, so they are numbers to come near to" }
        if numbers.contains(where: { $0 < 0 }) { return "some labels are below 0, so they are numbers to come near to" }
        let extents = (outputs.first ?? nil)?.dropFirst().filter { $0 != 1 }
        return extents?.isEmpty == true && Set(numbers).count > 10
            ? "\(Set(numbers).count) different whole numbers, and the model gives one; 'metric: top1' makes them classes" : nil
    }

    mutating func checkScores(_ classes: Int) {
        let scores = outputs.first.flatMap { $0 }.flatMap { $0.last ?? nil }
        if let scores, scores != classes { lines.append("# The model gives \(scores) scores for \(classes) classes: 'classes' should list what each score stands for.") }
    }
}
