import EngineSupport
import Measurement
import Techniques

/// What-if curves as far as they are known, and the one that is asked for.
public struct WhatIfState: Sendable {
    package var curves = BoundedCache<CurveKey, WhatIfCurve>(maximumCount: 64)
    /// Predicted figures by place on the axis, ascending.
    package var forecasts = BoundedCache<CurveKey, [WhatIfForecastPoint]>(maximumCount: 64)
    public var request: (generation: Int, key: CurveKey)?

    public init() {}
}

package struct WhatIfForecastPoint: Sendable {
    package var x: Double
    package var value: ParameterValue
    package var figures: ModelFigures
}
