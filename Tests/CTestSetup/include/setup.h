#pragma once

// Called by the Swift side, so that the linker keeps this file.
void lathe_test_setup(void);
