import ArgumentParser
import CompressionEngine
import TerminalCurses
@main struct Lathe: ParsableCommand {}
