import CompressionEngine
import Measurement
import Techniques
import TerminalCells
import Training

/// The curve of a training, where other techniques have their what-if curve.
extension Painter {
    mutating func drawTraining(in rect: Rect) {
        let training = model.training
        let running = training?.job.flatMap { job in model.tasks.jobs.first { $0.id == job && $0.isRunning } }
        let epochs = model.trainedEpochs
        var badge = StyledLine()
        if running != nil, let progress = training?.progress {
            badge = StyledLine("epoch \(min(progress.epochs.count, progress.totalEpochs)) of \(progress.totalEpochs)", .accent)
        } else if epochs.count > 1 {
            badge = StyledLine("\(epochs.count - 1) epoch\(epochs.count == 2 ? "" : "s")", .muted)
        }
        let content = panel(.curve, in: rect, title: "Training", badge: badge, footer: trainingFooter(epochs))
        var area = content
        if let running, content.height > 2 {
            grid.draw(
                ProgressBar(
                    phase: running.update.phase, fraction: training?.progress?.fraction ?? running.update.fraction,
                    elapsed: training?.progress?.elapsed ?? running.update.elapsedSeconds,
                    remaining: training?.progress?.remaining ?? running.update.remainingSeconds, tick: model.tick), in: content.row(0), theme: theme)
            area = Rect(x: content.x, y: content.y + 1, width: content.width, height: content.height - 1)
        }
        guard epochs.count > 1 else { return text(trainingHint(running != nil), in: area) }
        if running == nil, let cost = model.trainingCost, area.height > 6 {
            grid.put(StyledLine(cost, .muted), in: area.row(0))
            area = Rect(x: area.x, y: area.y + 1, width: area.width, height: area.height - 1)
        }
        let x = Axis("epoch", range: 0...Double(max(training?.progress?.totalEpochs ?? 0, epochs.count - 1)))
        let accuracy = epochs.map { ChartPoint(Double($0.number), $0.accuracy) }
        let reference = model.metric.baselineBelongsOnAxis ? model.facts.baselineAccuracy?.value : nil
        let measure = model.metric
        let range = measure.axisRange(of: accuracy.map(\.y) + (reference.map { [$0] } ?? []))
        let losses = epochs.compactMap { epoch in epoch.loss.map { ChartPoint(Double(epoch.number), $0) } }
        let last = Double(epochs.last?.number ?? 0)
        var upper = area
        if area.height >= 14, losses.count > 1 {
            let height = area.height * 3 / 5
            upper = Rect(x: area.x, y: area.y, width: area.width, height: height)
            let lower = Rect(x: area.x, y: area.y + height, width: area.width, height: area.height - height)
            let span = (losses.map(\.y).min() ?? 0)...max((losses.map(\.y).max() ?? 1), (losses.map(\.y).min() ?? 0) + 1e-6)
            grid.draw(LineChart(series: [.init("loss", losses, marked: losses)], x: x, y: Axis("loss", range: span), cursor: last), in: lower, theme: theme)
        }
        let chart = LineChart(
            series: [.init(measure.name, accuracy, marked: accuracy)], x: x, y: Axis(measure.name, format: measure.numberFormat, range: range),
            cursor: last, reference: reference)
        grid.draw(chart, in: upper, theme: theme)
    }

    private func trainingFooter(_ epochs: [TrainingEpoch]) -> StyledLine {
        guard let first = epochs.first, let best = epochs.max(by: { model.metric.isBetter($1.accuracy, than: $0.accuracy) }), epochs.count > 1 else { return StyledLine() }
        let change = model.metric.changeFormat.numberFormat.text(best.accuracy - first.accuracy)
        return StyledLine("best: epoch \(best.number), \(change)", .muted)
    }

    private func trainingHint(_ isRunning: Bool) -> [StyledLine] {
        if isRunning { return [StyledLine("The curve begins with the first epoch.", .muted)] }
        guard model.focusedTechnique?.isEnabled ?? false else { return [StyledLine("Switch it on after the steps whose loss it should recover.", .muted)] }
        let (train, preview) = (model.keyLabel(.train, theme.glyphTier), model.keyLabel(.previewRecovery, theme.glyphTier))
        var lines = [StyledLine("Not trained yet: figures show the model before training. \(train) trains, \(preview) tries \(ExplorerModel.previewSteps) steps.", .muted)]
        if let found = model.training?.preview {
            lines.append(StyledLine("Trial: about \(found.accuracy.measure.numberFormat.text(found.accuracy.value)) on \(Grouping.text(found.accuracy.seen)) samples.", .accent))
        }
        return lines
    }
}
