import CTestSetup
import StandardTechniques

/// Runs before the first test: fills the registry as the program does at its start.
@_cdecl("lathe_register_techniques")
func registerTechniques() {
    StandardTechniques.register()
    lathe_test_setup()
}
