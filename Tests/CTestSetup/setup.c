// Tests run in one process that has no start of its own where programs register their techniques.
#include "setup.h"

extern void lathe_register_techniques(void);

__attribute__((constructor)) static void set_up(void) { lathe_register_techniques(); }

void lathe_test_setup(void) {}
