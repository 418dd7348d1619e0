import ModelGraph

// Until the archive and the trial store land.

enum PackedSize {
    static func bits(of state: LayerState) -> Double { state.theoreticalBits }
}
