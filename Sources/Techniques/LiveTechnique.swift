import Measurement
import ModelGraph

/// A technique one of whose parameters can be turned without making or running the model again: it makes the model decide, sample by sample,
/// how much of itself to run, and the parameter is what it decides by.
public protocol LiveTechnique: Technique {
    /// The parameter's name; a real number.
    var liveParameter: String { get }

    /// What profiles a model of this technique, whichever program made the file; `nil` for a model that has nothing of it.
    func profiler(of model: Model) -> (any LiveProfiler)?
}

extension TechniqueRegistry {
    /// What profiles a model that a technique with a live parameter made; `nil` for all others.
    package static func profiler(of model: Model) -> (any LiveProfiler)? { all.lazy.compactMap { ($0 as? any LiveTechnique)?.profiler(of: model) }.first }
}
