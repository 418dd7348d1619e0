// Tests run in one process that has no start of its own where programs register their techniques.
#define _XOPEN_SOURCE 700
#include "setup.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

extern void lathe_register_techniques(void);

static char state[] = "/tmp/lathe-tests-XXXXXX";

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void clean_up(void) { nftw(state, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

__attribute__((constructor)) static void set_up(void) {
    // What a session remembers is remembered for these tests alone.
    if (mkdtemp(state)) {
        setenv("XDG_STATE_HOME", state, 1);
        atexit(clean_up);
    }
    lathe_register_techniques();
}

void lathe_test_setup(void) {}
