import Foundation

/// What `Benchmarks/runtimes.py` saw of each technique's files in other runtimes, and how a page says it.
struct RuntimeResults: Decodable {
    /// How a runtime fared with one file.
    struct Outcome: Decodable {
        var good: Bool?
        var refused: String?
        /// Top-1 against ONNX Runtime's, in points.
        var points: Double?
    }

    struct Entry: Decodable {
        /// Why there is no file.
        var none: String?
        var runtimes: [String: Outcome]?
    }

    /// By technique or step, then by sample model.
    var rows: [String: [String: Entry]]
    /// The pinned package of each runtime.
    var wheels: [String: String]

    /// The results beside another file; `nil` if there are none.
    /// - Throws: ``BadInput`` where the file is something else.
    init?(beside path: String) throws {
        let own = ((path as NSString).deletingLastPathComponent as NSString).appendingPathComponent("runtimes.json")
        guard let data = FileManager.default.contents(atPath: own) else { return nil }
        do {
            self = try JSONDecoder().decode(Self.self, from: data)
        } catch {
            throw BadInput("\(own): expected what Benchmarks/runtimes.py writes")
        }
    }

    private static let titles = [("openvino", "OpenVINO"), ("tract", "tract"), ("mnn", "MNN"), ("reference", "onnx.reference")]

    /// The section of a technique's page; `nil` if nothing was tried.
    func section(_ technique: String) -> String? {
        guard let row = rows[technique] else { return nil }
        let models = row.filter { $0.value.runtimes?.isEmpty == false }.keys.sorted()
        guard !models.isEmpty else { return nil }
        var text = "## In other runtimes\n\nThe files it writes at its defaults, beside ONNX Runtime on the same file ([all](../Results/Runtimes.md)):\n\n"
        for (id, title) in Self.titles where wheels[id] != nil {
            let version = wheels[id]?.split(separator: "=").last.map { " \($0)" } ?? ""
            let found = models.compactMap { model in row[model]?.runtimes?[id].map { (model, $0) } }
            guard !found.isEmpty else { continue }
            let same = found.filter { $0.1.good == true }.map(\.0)
            let other = found.filter { $0.1.good == false }
            let refused = found.filter { $0.1.refused != nil }.map(\.0)
            var parts: [String] = []
            if same.count == found.count { parts.append("the same answers on all") } else if !same.isEmpty { parts.append("the same answers on \(same.joined(separator: ", "))") }
            if !other.isEmpty { parts.append("**other answers** on " + other.map { "\($0.0) (\(Self.signed($0.1.points)) points)" }.joined(separator: ", ")) }
            if !refused.isEmpty { parts.append(refused.count == found.count ? "does not read them" : "does not read \(refused.joined(separator: ", "))") }
            text += "- \(title)\(version): \(parts.joined(separator: "; "))\n"
        }
        return text
    }

    private static func signed(_ points: Double?) -> String { points.map { String(format: "%+.1f", $0).replacing("-", with: "−") } ?? "?" }
}
