import Foundation
import TerminalCells
import Testing

@testable import Explorer

/// Prints screens to look at: `LATHE_LOOK=1 swift test --filter Look`.
@Test(.enabled(if: ProcessInfo.processInfo.environment["LATHE_LOOK"] != nil)) func look() {
    func show(_ title: String, _ driver: Driver) {
        print("=== \(title) \(driver.model.size)")
        print(driver.screen)
    }
    for size in [Size(width: 80, height: 24), Size(width: 120, height: 40), Size(width: 60, height: 50), Size(width: 200, height: 60)] {
        let slow = FakeEngine(answersAtOnce: false)
        let driver = Driver(slow, size: size)
        show("empty", driver)
        driver.press("space j j j j space")
        driver.press("tab l")
        let (recipe, generation) = slow.state.withLock { $0.evaluations.last! }
        for event in slow.answers(recipe, generation).prefix(3) { slow.send(event) }
        driver.settle()
        show("partial", driver)
        driver.press("l")
        driver.wait()
        show("stale", driver)
        driver.press("shift-tab j j")
        driver.wait()
        show("refusals", driver)
    }
    for size in [Size(width: 80, height: 24), Size(width: 120, height: 40), Size(width: 200, height: 60)] {
        let driver = Driver(size: size)
        driver.press("space tab L L L l l T tab tab tab")
        driver.press("h h p u u u l l 1 shift-tab shift-tab shift-tab shift-tab")
        driver.press("j j j j j space"); driver.wait()
        show("rich", driver)
        for view in ["2", "3", "4", "5", "6"] { driver.press(view); driver.wait(); show("view \(view)", driver) }
        driver.press("1 tab ?"); show("help", driver)
        driver.press("esc :"); driver.type("set spars"); show("palette", driver)
        driver.press("esc y"); show("command", driver)
        driver.press("esc !"); show("messages", driver)
    }
    let ascii = Driver(size: Size(width: 80, height: 24), theme: Theme(glyphTier: .ascii, colorTier: .mono))
    ascii.press("space tab L L L l l T"); ascii.wait(); show("ascii", ascii)
    ascii.press("3"); show("ascii", ascii)
    let none = Driver(FakeEngine(hasData: false, hasRuntime: false), size: Size(width: 80, height: 24))
    none.press("space tab l l"); none.wait(); show("no runtime", none)
    let opening = Driver(size: Size(width: 80, height: 24), opens: false); show("opening", opening)
    opening.send(.engine(.failed(generation: nil, job: nil, message: "models/lenet-5.onnx: damaged at byte 12: expected a length, found 255"))); show("failed", opening)
}
