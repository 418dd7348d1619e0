import EngineSupport
import Foundation
import ModelGraph
import Synchronization
import Techniques

/// Factorizes the weights of targets, each content once, on all cores. `Request` is what of the parameters decides the factors.
package struct FactorSource<Request: Hashable & Sendable, Factored: Sendable> {
    private struct Job: Hashable {
        var place: WeightReaders.Place
        var kind: Layer.Kind
        var outputAxis: Int
        var group: Int
        var request: Request
    }

    private let model: Model
    private let context: RewriteContext
    private let request: (LayerTarget) -> Request
    private var made: [Job: Factored] = [:]

    package init(model: Model, context: RewriteContext, request: @escaping (LayerTarget) -> Request) {
        self.model = model
        self.context = context
        self.request = request
    }

    /// Factorizes what the targets need. Layers whose weights other nodes read as well, or for which `factorize` gives `nil` or an
    /// error of kind `technique`, get no factors and a note.
    /// - Parameter factorize: factors of a layer's weight; called from several threads.
    package mutating func prepare(_ targets: [LayerTarget], factorize: @Sendable (Layer, Tensor, Request) throws -> Factored?) throws {
        let readers = WeightReaders(model)
        let nodes = Set(targets.map(\.layer.reader))
        var jobs: [(job: Job, layer: Layer)] = []
        var known = Set<Job>()
        for target in targets {
            guard let job = job(of: target) else { continue }
            guard readers.areAll(of: job.place, among: nodes) else {
                context.notes.add("\(target.layer.id): its weights are read elsewhere too, so factors would only add to the file; left as it is")
                continue
            }
            if known.insert(job).inserted { jobs.append((job, target.layer)) }
        }
        let results = Mutex<[Int: Result<Factored?, any Error>]>([:])
        let done = Mutex(0)
        let (model, context, all) = (model, context, jobs)
        DispatchQueue.concurrentPerform(iterations: all.count) { index in
            guard !context.cancellation.isCancelled else { return }
            let layer = all[index].layer
            let result = Result { () throws -> Factored? in
                guard let tensor = model.initializer(layer.weight, from: layer.path)?.tensor else { return nil }
                do {
                    return try factorize(layer, tensor, all[index].job.request)
                } catch let error as EngineError where error.kind == .technique {
                    context.notes.add("\(layer.id): \(error.message); left as it is")
                    return nil
                }
            }
            results.withLock { $0[index] = result }
            let count = done.withLock { done in
                done += 1
                return done
            }
            context.progress(Double(count) / Double(all.count), "decomposing \(layer.id)")
        }
        try context.cancellation.check()
        for (index, result) in results.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            if let factors = try result.get() { made[jobs[index].job] = factors }
        }
    }

    package func factors(of target: LayerTarget) -> Factored? { job(of: target).flatMap { made[$0] } }

    /// Puts the factors of every target that has some in its place.
    /// - Parameter links: the nodes to put in a layer's place.
    package func insert(_ targets: [LayerTarget], into model: inout Model, links: (Layer, Node, Factored) throws -> [FactorLink]) throws {
        // From the last node to the first, inner graphs before the node that holds them: indices stay valid.
        let ordered = targets.sorted { $1.layer.position.lexicographicallyPrecedes($0.layer.position) }
        var names = FactorNames(model.graph)
        for target in ordered {
            try context.cancellation.check()
            guard let factors = factors(of: target), let node = model.graph[target.layer.path]?.nodes[target.layer.nodeIndex] else { continue }
            try FactorChain(layer: target.layer, links: links(target.layer, node, factors)).insert(into: &model, names: &names)
        }
    }

    private func job(of target: LayerTarget) -> Job? {
        let layer = target.layer
        return model.place(of: layer.weight, readBy: layer).map {
            Job(place: $0, kind: layer.kind, outputAxis: layer.outputAxis, group: layer.group, request: request(target))
        }
    }
}

extension RewriteContext {
    /// Notes that factors of `count` weights would not be fewer than the layer's own.
    package func noteNothingSaved(_ layer: Layer, ranks: String, count: Int) {
        notes.add("\(layer.id): \(ranks) saves nothing (\(count) weights instead of \(layer.weightCount)); left as it is")
    }

    /// What is remembered under `key`, or the arrays of floats that `compute` makes now.
    func remembered(_ key: String, compute: () throws -> [[Float]]) throws -> [[Float]] {
        try memo.tensors(key) { try compute().map { Tensor(name: "", floats: $0, dims: [$0.count]) } }.map { $0.floats() ?? [] }
    }
}
