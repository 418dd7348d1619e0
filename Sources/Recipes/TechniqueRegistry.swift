import Factorization
import Learning
import Pruning
import Quantization
import Techniques

/// Every technique the program has, in the order in which they are shown.
public enum TechniqueRegistry {
    public static let all: [any Technique] = [
        MagnitudePruning(), NMPruning(), SparseGPT(), Wanda(), BlockPruning(), RandomPruning(), StructuredPruning(), HeadPruning(), LayerRemoval(), AttentionMask(),
        SVDFactorization(), ActivationAwareSVD(), EmbeddingFactorization(), SpatialSVD(), Tucker2(), CPDecomposition(), TensorTrainFactorization(),
        WeightSharing(), HashedNets(), ProductQuantization(), WeightTying(), ParameterPrediction(),
        BatchNormReestimation(), BiasCorrection(), LeastSquaresReconstruction(),
        FineTuning(), GradualPruning(), LoRA(), Adapters(), PrefixTuning(), CompactDesign(), WidthMultiplier(), ResolutionMultiplier(), GroupedQueries(), LinearAttention(),
        QuantizationAwareTraining(),
        EarlyExits(), TrainedExits(),
        HuffmanCoding(), RangeCoding(),
        HalfPrecision(), BFloat16(), SinglePrecision(), StaticInt8(), DynamicInt8(), WeightQuantization(), GPTQ(), AdaRound(), CodebookQuantization(),
        CrossLayerEqualization(), SmoothQuant(), AWQ(),
    ]

    public static func technique(_ id: String) -> (any Technique)? { byID[id] }

    private static let byID = Dictionary(uniqueKeysWithValues: all.map { ($0.descriptor.id, $0) })
}
