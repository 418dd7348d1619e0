// Made by Reference/optimizers.py with PyTorch 2.13.0. Do not edit.
import Differentiation
import Testing

struct OptimizerReference: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var optimizer: Optimizer
    var weights: [[Double]]

    init(_ title: String, _ kind: Optimizer.Kind, _ weights: [[Double]], _ change: (inout Optimizer) -> Void = { _ in }) {
        testDescription = title
        optimizer = Optimizer(kind)
        self.weights = weights
        change(&optimizer)
    }

    static let all: [OptimizerReference] = [
        OptimizerReference(
            "momentum", .sgd,
            [
                [0.237762106, 1.000617043, 0.843509285, -0.089117019, -0.939809547, -0.926445511],
                [0.816132657, 0.923570105, 0.181881458, -0.727028163],
            ]
        ),
        OptimizerReference(
            "momentum and decay", .sgd,
            [
                [0.232321438, 0.942636870, 0.786296311, -0.092961450, -0.886750883, -0.865265643],
                [0.816132657, 0.923570105, 0.181881458, -0.727028163],
            ]
        ) {
            $0.weightDecay = 0.05
        },
        OptimizerReference(
            "Nesterov and decay", .sgd,
            [
                [0.234585014, 0.964505675, 0.807664267, -0.091739944, -0.906798873, -0.888151100],
                [0.843357858, 0.948477669, 0.181571485, -0.752270685],
            ]
        ) {
            $0.momentum = 0.8
            $0.nesterov = true
            $0.weightDecay = 0.05
        },
        OptimizerReference(
            "clipped", .sgd,
            [
                [0.074697596, 0.891214938, 0.888353376, 0.068743817, -0.814068490, -0.948429982],
                [0.706730552, 0.968414196, 0.339742294, -0.601287106],
            ]
        ) {
            $0.clipNorm = 0.7
        },
        OptimizerReference(
            "Adam", .adam,
            [
                [0.145318063, 0.973055133, 0.732883618, -0.005929503, -0.891165021, -0.776386572],
                [0.788570747, 0.812944438, 0.265068974, -0.678383637],
            ]
        ),
        OptimizerReference(
            "Adam and decay", .adam,
            [
                [0.133445885, 0.943140542, 0.681588432, 0.003416684, -0.864617237, -0.710363092],
                [0.781153916, 0.833142673, 0.275730489, -0.670454048],
            ]
        ) {
            $0.weightDecay = 0.05
            $0.beta1 = 0.8
            $0.beta2 = 0.95
        },
        OptimizerReference(
            "AdamW", .adamw,
            [
                [0.143073833, 0.950142047, 0.713144180, -0.007157598, -0.870315722, -0.755747525],
                [0.788570747, 0.812944438, 0.265068974, -0.678383637],
            ]
        ) {
            $0.weightDecay = 0.05
        },
        OptimizerReference(
            "AdamW, clipped", .adamw,
            [
                [0.144548206, 0.951442101, 0.711213869, -0.008650237, -0.871655992, -0.753675640],
                [0.789885555, 0.811000979, 0.263560638, -0.679738909],
            ]
        ) {
            $0.weightDecay = 0.05
            $0.clipNorm = 0.7
        },
    ]
}
