import Foundation
import Measurement
import Recipes
import Testing

@testable import Explorer

@Suite struct SessionTests {
    /// The log a driven session writes, as text.
    private func text(_ driver: Driver) -> String {
        var header = SessionLine(t: 0, action: "start")
        (header.lathe, header.model) = (SessionLog.version, "models/lenet-5.onnx")
        return ([header] + driver.log).map(\.json).joined(separator: "\n") + "\n"
    }

    @Test(arguments: 1...10) func replayGivesTheSameRecipeAndNumbers(seed: Int) throws {
        var numbers = UpdateTests.Numbers(state: UInt64(seed) &* 0xD134_2543_DE82_EF95)
        let driver = Driver()
        for index in 0..<80 {
            // Held keys as well as single ones: replay must merge the same states.
            driver.press((UpdateTests.edits + ["u", "ctrl-r"]).randomElement(using: &numbers) ?? "l", every: index % 3 == 0 ? 1 : 0.1234)
        }
        let log = try SessionLog(text: text(driver), file: "log")
        #expect(try SessionReplay.recipe(log, catalog: FakeCatalog.catalog, layers: FakeModel.layers) == driver.model.recipe)
        let outcome = try SessionReplay.run(log, engine: FakeEngine(), catalog: FakeCatalog.catalog, timeout: 10)
        #expect(outcome.recipe == driver.model.recipe)
        #expect(outcome.accuracy?.value == driver.model.accuracyNow?.estimate.value)
        #expect(outcome.figures?.serializedBytes.value == driver.model.figuresNow?.serializedBytes.value)
    }

    @Test func aLineCutOffByACrashIsLeftOut() throws {
        let driver = Driver()
        driver.press("space tab l")
        let log = try SessionLog(text: text(driver) + "{\"t\":9,\"act", file: "log")
        #expect(try SessionReplay.recipe(log, catalog: FakeCatalog.catalog, layers: FakeModel.layers) == driver.model.recipe)
        #expect(throws: SettingsError.self) { try SessionLog(text: "{}\n", file: "log") }
    }

    @Test func recordedRecipesComeBack() throws {
        let driver = Driver()
        driver.press("space 2 j space j l")
        let json = try JSONEncoder().encode(driver.model.recipe.form)
        #expect(try Recipe(form: JSONDecoder().decode(RecipeForm.self, from: json), techniques: FakeCatalog.catalog.descriptors) == driver.model.recipe)
    }
}

@Suite struct SettingsTests {
    @Test func theDefaultConfigurationSetsNothing() throws {
        #expect(try ExplorerSettings(yaml: ExplorerSettings.defaultConfiguration, file: "config.yaml") == ExplorerSettings())
    }

    @Test func theDefaultConfigurationIsValidWhenUncommented() throws {
        // Settings start with "#" at once, remarks with "# ".
        let lines = ExplorerSettings.defaultConfiguration.split(separator: "\n").map { line in
            line.hasPrefix("#") && (!line.hasPrefix("# ") || line.hasPrefix("#  ")) ? String(line.dropFirst()) : String(line)
        }
        let settings = try ExplorerSettings(yaml: lines.joined(separator: "\n"), file: "config.yaml")
        #expect(settings.mouse && settings.view == .explore)
        #expect(settings.keys["undo"] == ["u"])
    }

    @Test(arguments: ["color: 256", "mouse: maybe", "keys:\n  fly: [x]", "keys:\n  undo: [q]", "glyphs: [", "keys:\n  undo: [ctrl-nothing]"])
    func mistakesNameTheFile(yaml: String) {
        let error = #expect(throws: SettingsError.self) { try ExplorerSettings(yaml: yaml, file: "config.yaml") }
        #expect(error?.description.hasPrefix("config.yaml") == true)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func keysCanBeBoundAnew() throws {
        let driver = Driver(keyMap: try KeyMap(overrides: ["undo": ["f9"]]))
        driver.press("space f9")
        #expect(driver.model.isBaseline)
        driver.press("ctrl-r u")
        #expect(!driver.model.isBaseline, "u is no longer bound")
    }

    @Test func defaultKeysDoNotClash() {
        #expect(KeyMap().firstClash() == nil)
        #expect(Set(KeyMap().bindings.map(\.action)) == Set(Action.allCases), "every action is in the map")
    }

    /// `LATHE_RECORD=1` writes the page anew.
    @Test func keysDocumentIsUpToDate() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let url = root.appendingPathComponent("Docs/Keys.md")
        if Snapshot.isRecording { return try KeyMap().markdown.write(to: url, atomically: true, encoding: .utf8) }
        #expect(try String(contentsOf: url, encoding: .utf8) == KeyMap().markdown)
    }
}
