import Foundation

/// Everything that can go wrong between lathe and ONNX Runtime. Printed, each is one line without control characters,
/// whatever the model or the library put into its message.
public enum OnnxRuntimeError: Error, Sendable, Equatable {
    /// No usable library in any of the places searched.
    case libraryNotFound(tried: [LibraryAttempt])
    /// The library at `path` was asked for by name and cannot be used.
    case libraryUnusable(LibraryAttempt)
    /// The run was stopped by `RunOptions.terminate()`; it has no results.
    case terminated(doing: String)
    /// ONNX Runtime refused or failed: a broken model, an operator it lacks, memory, a kernel's own check.
    case failed(code: RuntimeCode, message: String, doing: String)
    /// The input called `name` is missing, unknown, or of the wrong type or shape.
    case invalidInput(name: String, reason: String, doing: String)
    /// The output called `name` is unknown, or the tensor to receive it does not fit.
    case invalidOutput(name: String, reason: String, doing: String)
    /// A tensor cannot be made or read as asked: wrong element type, shape and bytes that disagree, not a tensor.
    case invalidValue(reason: String)
    /// A tensor was written while someone read it, or the other way round. The access did not take place.
    case valueInUse(reason: String)
    /// The profile at `path` is missing, cut short, or not a profile.
    case unreadableProfile(path: String, reason: String)

    /// Whether this is a cancellation rather than a failure.
    public var isTermination: Bool {
        if case .terminated = self { true } else { false }
    }
}

/// A library that was tried, and why it was not used.
public struct LibraryAttempt: Sendable, Equatable {
    /// A path, or a name left to the system's loader.
    public var path: String
    /// What asked for it: `LATHE_ONNXRUNTIME`, an option, a folder that was searched.
    public var origin: String
    public var reason: String
}

/// ONNX Runtime's error codes.
public struct RuntimeCode: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public var rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let fail = RuntimeCode(rawValue: 1)
    public static let invalidArgument = RuntimeCode(rawValue: 2)
    public static let noSuchFile = RuntimeCode(rawValue: 3)
    public static let noModel = RuntimeCode(rawValue: 4)
    public static let engineError = RuntimeCode(rawValue: 5)
    public static let runtimeException = RuntimeCode(rawValue: 6)
    public static let invalidProtobuf = RuntimeCode(rawValue: 7)
    public static let modelLoaded = RuntimeCode(rawValue: 8)
    public static let notImplemented = RuntimeCode(rawValue: 9)
    public static let invalidGraph = RuntimeCode(rawValue: 10)
    public static let executionProviderFail = RuntimeCode(rawValue: 11)

    public var description: String {
        let names = [
            "ok", "fail", "invalid argument", "no such file", "no model", "engine error", "runtime exception",
            "invalid protobuf", "model loaded", "not implemented", "invalid graph", "execution provider failed",
        ]
        return names.indices.contains(Int(rawValue)) ? names[Int(rawValue)] : "code \(rawValue)"
    }
}

extension OnnxRuntimeError: CustomStringConvertible, LocalizedError {
    public var errorDescription: String? { description }

    public var description: String {
        let text =
            switch self {
            case .libraryNotFound(let tried):
                "ONNX Runtime \(RuntimeVersion.oldestSupported) or later is needed and was not found. Tried "
                    + tried.map { "\($0.path) (\($0.reason))" }.joined(separator: ", ")
                    + ". \(Self.remedy)"
            case .libraryUnusable(let attempt):
                "ONNX Runtime library \(attempt.path), given by \(attempt.origin), cannot be used: "
                    + "\(attempt.reason). \(Self.remedy)"
            case .terminated(let doing):
                "\(doing): canceled"
            case .failed(let code, let message, let doing):
                "\(doing): \(message) (ONNX Runtime: \(code))"
            case .invalidInput(let name, let reason, let doing):
                "\(doing): input '\(name)' \(reason)"
            case .invalidOutput(let name, let reason, let doing):
                "\(doing): output '\(name)' \(reason)"
            case .invalidValue(let reason), .valueInUse(let reason):
                reason
            case .unreadableProfile(let path, let reason):
                "profile \(path): \(reason)"
            }
        return text.onOneLine
    }

    static let remedy =
        "Run `make setup` in lathe's repository, or set LATHE_ONNXRUNTIME to the path of libonnxruntime.so"
}

extension String {
    /// The text with every run of white space, line breaks and control characters made one space. Names and messages
    /// come from files that nobody vetted; a terminal must never see their escape sequences.
    var onOneLine: String {
        var result = ""
        result.reserveCapacity(utf8.count)
        var gap = false
        for scalar in unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator:
                gap = true
            default:
                if gap && !result.isEmpty { result.append(" ") }
                gap = false
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
