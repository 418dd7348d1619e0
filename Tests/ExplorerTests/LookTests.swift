import Foundation
import TerminalCells
import Testing

@testable import Explorer

/// Prints screens to look at: `LATHE_LOOK=1 swift test --filter Look`.
@Test(.enabled(if: ProcessInfo.processInfo.environment["LATHE_LOOK"] != nil)) func look() {
    for size in [Size(width: 80, height: 24), Size(width: 120, height: 40), Size(width: 60, height: 18)] {
        let driver = Driver(size: size)
        print("=== empty \(size)"); print(driver.screen)
        driver.press("space tab L L L l l")
        print("=== explore \(size)"); print(driver.screen)
        for view in ["2", "3", "4", "5", "6"] {
            driver.press(view)
            driver.wait()
            print("=== view \(view) \(size)"); print(driver.screen)
        }
        driver.press("1 ?"); print("=== help \(size)"); print(driver.screen)
        driver.press("esc :"); print("=== palette \(size)"); print(driver.screen)
    }
}
