#ifndef LATHE_TERMINAL_GUARD_H
#define LATHE_TERMINAL_GUARD_H

#include <stddef.h>
#include <stdint.h>

// What Swift cannot do safely: waiting with a signal mask, and giving the terminal back from a signal handler.
//
// There is one terminal per process, so this is one set of globals. All functions but lathe_guard_wake belong to the
// thread that owns the terminal.

// Blocks SIGWINCH, SIGTSTP and SIGCONT in the calling thread, so that threads started later never receive them. Call it
// first thing in main. They are let through only inside lathe_guard_wait.
void lathe_guard_block_signals(void);

// Opens the wake pipe, installs the handlers (crash signals, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT), and makes the
// calling thread the terminal's owner: whichever thread dies, the owner is stopped before the terminal is given back. SIGUSR2 is used
// for that. A Swift backtrace is printed only where SWIFT_BACKTRACE is set. Do it before newterm: ncurses installs its own handlers only where it finds none. Returns 0, or errno.
int lathe_guard_install(void);

// Remembers the modes of the terminal, to be given back when the program dies. Do it before newterm, which changes
// them. Returns 0, or errno.
int lathe_guard_save_modes(int tty);

// What to write to the terminal when the program dies. Copied, at most 1023 bytes.
void lathe_guard_set_restore_text(const char *restore, size_t length);

// While active, dying gives the terminal back. Off while suspended and after closing.
void lathe_guard_set_active(int active);

// Sends file descriptors 1 and 2, where they are terminals, to an unlinked temporary file, until it is given back. On a crash
// the file's tail is copied to the real standard error. Returns 0, or errno.
int lathe_guard_capture_output(void);
void lathe_guard_release_output(void);
// Sends what the C library still holds of standard output on its way.
void lathe_guard_flush_output(void);
// Reads captured output from `offset`; returns the bytes read, 0 when there is nothing new.
ptrdiff_t lathe_guard_read_captured(int64_t offset, char *buffer, size_t capacity);

enum {
    LATHE_WAIT_INPUT = 1,    // the input has bytes
    LATHE_WAIT_WAKE = 2,     // lathe_guard_wake was called
    LATHE_WAIT_RESIZE = 4,   // SIGWINCH
    LATHE_WAIT_SUSPEND = 8,  // SIGTSTP from outside
    LATHE_WAIT_CONTINUE = 16,// SIGCONT
    LATHE_WAIT_LOST = 32,    // the terminal is gone
};

// Waits until something happens; timeout in milliseconds, negative for none. Returns LATHE_WAIT_* bits, 0 on timeout.
int lathe_guard_wait(int input, int timeout_ms);

// Ends a wait, from any thread or signal handler. Wakes before the wait are not lost.
void lathe_guard_wake(void);

// Stops the process (whole = 0) or its process group (whole = 1, what the terminal driver does for ^Z) with the default
// action of SIGTSTP; returns when continued.
void lathe_guard_stop(int whole);

// Size of the terminal by ioctl; 0, or errno.
int lathe_guard_size(int tty, int *columns, int *rows);

// Writes all bytes, going on after interruptions.
void lathe_guard_write(int fd, const char *bytes, size_t length);

#endif
