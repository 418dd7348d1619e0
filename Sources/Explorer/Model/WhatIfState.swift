import EngineSupport

/// What-if curves as far as they are known, and the one that is asked for.
public struct WhatIfState: Sendable {
    package var curves = BoundedCache<CurveKey, WhatIfCurve>(maximumCount: 64)
    public var request: (generation: Int, key: CurveKey)?

    public init() {}
}
