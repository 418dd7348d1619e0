import Yams

extension SoundFeatures {
    /// - Throws: `EngineError` that names the line and what was expected.
    init(_ node: Node, _ yaml: YAMLFields) throws {
        let fields = try yaml.mapping(
            node, "features",
            allowed: [
                "kind", "n_fft", "win_length", "hop", "window", "center", "padding", "power", "mels", "fmin", "fmax", "mel_scale", "norm", "log", "floor", "offset", "top_db",
                "coefficients",
            ],
            required: ["kind", "n_fft", "hop"])
        self.init()
        var isFloorGiven = false
        for (key, value) in fields {
            switch key {
            case "kind": kind = try yaml.choice(value, key, Kind.self)
            case "n_fft": transformLength = try yaml.integer(value, key, in: 2...65536)
            case "win_length": windowLength = try yaml.integer(value, key, in: 1...65536)
            case "hop": hop = try yaml.integer(value, key, in: 1...1_000_000)
            case "window": window = try yaml.choice(value, key, Window.self)
            case "center": isCentered = try yaml.boolean(value, key)
            case "padding": padding = try yaml.choice(value, key, Padding.self)
            case "power": power = try yaml.integer(value, key, in: 1...2)
            case "mels": bands = try yaml.integer(value, key, in: 1...4096)
            case "fmin": lowest = try Self.frequency(value, key, yaml)
            case "fmax": highest = try Self.frequency(value, key, yaml)
            case "mel_scale": scale = try yaml.choice(value, key, MelScale.self)
            case "norm": norm = try yaml.choice(value, key, Norm.self)
            case "log": logarithm = try yaml.choice(value, key, Logarithm.self)
            case "floor":
                floor = try yaml.number(value, key)
                isFloorGiven = true
                guard floor >= 0 else { throw yaml.fail(value, "floor: expected 0 or more, found \(floor)") }
            case "offset":
                offset = try yaml.number(value, key)
                guard offset >= 0 else { throw yaml.fail(value, "offset: expected 0 or more, found \(offset)") }
            case "top_db":
                let decibels = try yaml.number(value, key)
                guard decibels > 0 else { throw yaml.fail(value, "top_db: expected more than 0, found \(decibels)") }
                range = decibels
            case "coefficients": coefficients = try yaml.integer(value, key, in: 1...4096)
            default: break
            }
        }
        if windowLength == 0 { windowLength = transformLength }
        guard windowLength <= transformLength else { throw yaml.fail(fields["win_length"], "win_length: \(windowLength) is more than n_fft, \(transformLength)") }
        let isBanded = kind != .stft
        if isBanded, bands == 0 { throw yaml.fail(node, "features of kind \(kind.rawValue) need 'mels'") }
        if !isBanded {
            for key in ["mels", "fmin", "fmax", "mel_scale", "norm"] {
                if let value = fields[key] { throw yaml.fail(value, "\(key): not of kind stft") }
            }
        }
        if kind == .mfcc {
            guard coefficients > 0 else { throw yaml.fail(node, "features of kind mfcc need 'coefficients'") }
            guard coefficients <= bands else { throw yaml.fail(fields["coefficients"], "coefficients: \(coefficients) of \(bands) mels") }
        } else if let value = fields["coefficients"] {
            throw yaml.fail(value, "coefficients: only of kind mfcc")
        }
        if kind == .mel, let value = fields["log"] { throw yaml.fail(value, "log: of kind log-mel") }
        if kind == .logMel, logarithm == nil { logarithm = .ln }
        // As librosa and torchaudio have it.
        if kind == .mfcc, logarithm == nil { logarithm = .db }
        if kind == .mfcc, logarithm == .db, range == nil { range = 80 }
        if let value = fields["top_db"], logarithm != .db { throw yaml.fail(value, "top_db: only with log: db") }
        // Magnitudes are roots of powers, and so is what they are held against.
        if power == 1, !isFloorGiven { floor = 1e-5 }
        if let highest, highest <= lowest { throw yaml.fail(fields["fmax"], "fmax: \(highest) is not above fmin, \(lowest)") }
    }

    private static func frequency(_ node: Node, _ key: String, _ yaml: YAMLFields) throws -> Double {
        let value = try yaml.number(node, key)
        guard value >= 0, value <= 1_000_000 else { throw yaml.fail(node, "\(key): expected 0 to 1000000 Hz, found \(value)") }
        return value
    }
}
