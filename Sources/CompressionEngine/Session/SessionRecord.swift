import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

extension EngineSession {
    /// A model that a recipe made of this session's, with the recipe and its figures in the metadata, behind those that made this session's.
    ///
    /// Figures are those that are counted from the graph; they need no running.
    /// - Throws: `EngineError` on cancellation.
    public func recorded(_ model: Model, _ recipe: Recipe, program: String, cancellation: Cancellation) throws -> Model {
        try cancellation.check()
        let (before, after) = (try FigureCounting.figures(of: self.model, shapes: nil), try FigureCounting.figures(of: model, shapes: nil))
        var figures: [String: [Double]] = [:]
        for measure in Measure.all where measure.isOfFigures && measure.place >= .table {
            guard let first = measure.figure(in: before)?.value, let second = measure.figure(in: after)?.value else { continue }
            figures[measure.id] = [first, second]
        }
        var recipe = recipe
        recipe.modelHash = info.modelHash
        let making = ModelRecord.Making(
            model: (info.modelPath as NSString).lastPathComponent, modelHash: info.modelHash, recipe: recipe.yaml, program: program, figures: figures)
        var result = model
        try ModelRecord(makings: (ModelRecord(self.model)?.makings ?? []) + [making]).write(into: &result)
        return result
    }
}
