/// A value made of three sums for each class over samples: right, said and true ones. Of pixels, frames or labels.
struct ClassCountStatistic: PooledStatistic {
    enum Form: Sendable {
        /// Right / (said + true − right), mean over classes that are said or true somewhere.
        case meanIoU
        /// F1, mean over classes that are said or true somewhere.
        case meanF1
        /// F1, mean over all classes; 0 where a class is neither said nor true, as scikit-learn has it with `zero_division=0`.
        case meanF1OfAll
        /// F1 of one class.
        case f1(of: Int)
    }

    let samples: Int
    private let form: Form
    private let classes: Int
    /// Where each sample's entries start.
    private let starts: [Int]
    private let entryClass: [Int32]
    /// Right, said, true.
    private let entryCounts: [Double]

    /// - Parameter contributions: class, right, said, true; again and again from the place `from`.
    init(_ contributions: [[Double]], from offset: Int, form: Form) {
        var (starts, entryClass, entryCounts, largest) = ([0], [Int32](), [Double](), -1)
        for contribution in contributions {
            var place = offset
            while place + 3 < contribution.count {
                if let index = contribution.whole(place), index >= 0, index < 1 << 24 {
                    entryClass.append(Int32(index))
                    entryCounts += contribution[(place + 1)...(place + 3)]
                    largest = max(largest, index)
                }
                place += 4
            }
            starts.append(entryClass.count)
        }
        samples = contributions.count
        (self.form, self.starts, self.entryClass, self.entryCounts) = (form, starts, entryClass, entryCounts)
        classes = largest + 1
    }

    /// Contributions of `LabelDecisions`.
    init(labelDecisions contributions: [[Double]]) {
        var labels = 0
        let entries = contributions.map { contribution -> [Double] in
            labels = max(labels, contribution.whole(0) ?? 0)
            return contribution.indices.dropFirst().flatMap { place -> [Double] in
                let code = contribution.whole(place) ?? 0
                let (isSaid, isTrue) = (code >> 1 & 1, code & 1)
                return [Double(code >> 2), Double(isSaid & isTrue), Double(isSaid), Double(isTrue)]
            }
        }
        let all = Self(entries, from: 0, form: .meanF1OfAll)
        samples = all.samples
        (form, starts, entryClass, entryCounts) = (all.form, all.starts, all.entryClass, all.entryCounts)
        classes = max(labels, all.classes)
    }

    var work: Int { samples + 4 * entryClass.count + classes }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        var sums = [Double](repeating: 0, count: 3 * classes)
        sums.withUnsafeMutableBufferPointer { sums in
            entryClass.withUnsafeBufferPointer { entryClass in
                entryCounts.withUnsafeBufferPointer { entryCounts in
                    for sample in 0..<samples {
                        let weight = counts.map { Double($0[sample]) } ?? 1
                        if weight == 0 { continue }
                        for entry in starts[sample]..<starts[sample + 1] {
                            let place = 3 * Int(entryClass[entry])
                            sums[place] += weight * entryCounts[3 * entry]
                            sums[place + 1] += weight * entryCounts[3 * entry + 1]
                            sums[place + 2] += weight * entryCounts[3 * entry + 2]
                        }
                    }
                }
            }
        }
        var (sum, found) = (0.0, 0)
        for index in 0..<classes {
            let (right, said, had) = (sums[3 * index], sums[3 * index + 1], sums[3 * index + 2])
            switch form {
            case .meanIoU: if said + had > 0 { (sum, found) = (sum + right / (said + had - right), found + 1) }
            case .meanF1: if said + had > 0 { (sum, found) = (sum + 2 * right / (said + had), found + 1) }
            case .meanF1OfAll: (sum, found) = (said + had > 0 ? sum + 2 * right / (said + had) : sum, found + 1)
            case .f1(let wanted): if index == wanted, said + had > 0 { (sum, found) = (2 * right / (said + had), 1) }
            }
        }
        return found > 0 ? sum / Double(found) : .nan
    }
}
