import Factorization
import Learning
import Pruning
import Quantization
import Techniques

/// The techniques that come with lathe, in the order in which they are shown. To add one: a file, and its name here.
public enum StandardTechniques {
    public static let all: [any Technique] = [
        MagnitudePruning(), NMPruning(), SparseGPT(), Wanda(), BlockPruning(), RandomPruning(), StructuredPruning(), HeadPruning(), LayerRemoval(), AttentionMask(),
        SVDFactorization(), ActivationAwareSVD(), EmbeddingFactorization(), SpatialSVD(), Tucker2(), CPDecomposition(), TensorTrainFactorization(),
        WeightSharing(), HashedNets(), ProductQuantization(), WeightTying(), ParameterPrediction(),
        BatchNormReestimation(), BiasCorrection(), LeastSquaresReconstruction(),
        FineTuning(), GradualPruning(), LoRA(), Adapters(), PrefixTuning(), PromptTuning(), CompactDesign(), WidthMultiplier(), ResolutionMultiplier(), GroupedQueries(),
        LinearAttention(),
        QuantizationAwareTraining(),
        EarlyExits(), TrainedExits(),
        SparseStorage(), HuffmanCoding(), RangeCoding(),
        HalfPrecision(), BFloat16(), SinglePrecision(), StaticInt8(), DynamicInt8(), WeightQuantization(), GPTQ(), AdaRound(), CodebookQuantization(),
        CrossLayerEqualization(), SmoothQuant(), AWQ(),
    ]

    /// Makes them known to recipes, predictions and front ends. Every program calls this before anything else.
    public static func register() { TechniqueRegistry.register(all) }
}
