enum SoundDecoding {
    static let extensions: Set<String> = ["wav", "flac"]
}
