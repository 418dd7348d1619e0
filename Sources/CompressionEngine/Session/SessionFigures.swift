import Archive
import EngineSupport
import Measurement
import ModelGraph

extension EngineSession {
    /// Every figure of a model that needs no labels. The sizes are those of files that can be written.
    /// - Parameters:
    ///   - slowSizes: also gzip and pack, which takes time in proportion to the weights.
    ///   - profiling: of a model whose samples take different ways through it, run the validation split for how many take which; otherwise
    ///     that is as on the calibration data.
    public func figures(
        of model: Model, slowSizes: Bool = true, profiling: Bool = true, cancellation: Cancellation = Cancellation()
    ) throws -> ModelFigures {
        var shapes: ValueShapes?
        do {
            shapes = try self.shapes(of: model, cancellation: cancellation)
        } catch let error as EngineError where error.kind == .runtime && (validation == nil || !runs) {
            // Without data the inputs are guesses: a model that rejects them still has sizes. So has one that never runs.
            shapes = nil
        }
        let live = profiling ? try profiles.figures(of: model, cancellation: cancellation) : nil
        var figures = try FigureCounting.figures(of: model, shapes: shapes, exitShares: live.map { Array($0.shares.dropLast()) })
        figures.live = live
        if slowSizes { try addSlowSizes(&figures, of: model, cancellation: cancellation) }
        return figures
    }

    /// Figures of the model as it was opened: its serialized size is that of the files it was read from.
    public func baselineFigures(slowSizes: Bool = true, cancellation: Cancellation = Cancellation()) throws -> ModelFigures {
        var figures = try figures(of: model, slowSizes: slowSizes, cancellation: cancellation)
        figures.serializedBytes = Figure(Double(info.fileBytes), .measured)
        return figures
    }

    /// Adds to figures of two models, at the same time, what `addSlowSizes` adds; without a second one it is as the first.
    public func withSlowSizes(
        _ first: (figures: ModelFigures, model: Model), _ second: (figures: ModelFigures, model: Model)?, cancellation: Cancellation = Cancellation()
    ) throws -> (first: ModelFigures, second: ModelFigures) {
        @Sendable func added(_ pair: (figures: ModelFigures, model: Model)) throws -> ModelFigures {
            var figures = pair.figures
            try addSlowSizes(&figures, of: pair.model, cancellation: cancellation)
            return figures
        }
        guard let second else {
            let figures = try added(first)
            return (figures, figures)
        }
        return try Parallel.both({ try added(first) }, { try added(second) })
    }

    /// Adds the theoretical size, the size after gzip, and the size in the packed archive, in total and by layer.
    public func addSlowSizes(_ figures: inout ModelFigures, of model: Model, cancellation: Cancellation) throws {
        figures.theoreticalBytes = Figure(try TheoreticalSize.bits(of: model, cancellation: cancellation) / 8, .measured)
        // gzip is one long stream on one core; packing goes on beside it.
        let (transfer, packed) = try Parallel.both(
            { try DeflateSize.gzip(model.serialized(), cancellation: cancellation) }, { try Archive.pack(model, cancellation: cancellation) })
        figures.packedBytes = Figure(Double(packed.byteCount), .measured)
        let byName = Dictionary(packed.tensors.map { ($0.name, $0.packedBytes) }, uniquingKeysWith: { first, _ in first })
        for (index, layer) in model.layers().enumerated() where index < figures.layers.count && figures.layers[index].id == layer.id {
            let names = layer.weightNames + (layer.bias.map { [$0] } ?? [])
            figures.layers[index].packedBytes = Double(names.reduce(0) { $0 + (byName[$1] ?? 0) })
        }
        figures.transferBytes = Figure(Double(transfer), .measured)
    }
}
