#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// Handlers touch only these, and call only functions that POSIX lists as async-signal-safe.
static int wake_pipe[2] = {-1, -1};
static volatile sig_atomic_t got_resize, got_suspend, got_continue;
static int terminal = -1;
static struct termios saved_modes;
static char restore_text[1024];
static size_t restore_length;
static atomic_int is_active;
static int captured = -1;
static int real_output[3] = {-1, -1, -1};

static const int crash_signals[] = {SIGILL, SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGTRAP};
static const int end_signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
enum { COUNT_CRASH = sizeof crash_signals / sizeof *crash_signals, COUNT_END = sizeof end_signals / sizeof *end_signals };
// What was there before us: a language runtime that prints backtraces still gets its turn.
static struct sigaction previous[COUNT_CRASH];
static int keeps_previous;

void lathe_guard_write(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, 1000) > 0) continue;
            return;
        }
        if (n <= 0) return;
        bytes += n;
        length -= (size_t)n;
    }
}

// The thread that owns the terminal, and the signal that stops it in its tracks.
static pthread_t owner;
static atomic_int has_owner, is_parked;
enum { PARK_SIGNAL = SIGUSR2 };

static void on_park(int n) {
    (void)n;
    atomic_store(&is_parked, 1);
    for (;;) pause();
}

// Another thread is dying: the owner must not paint over the shell's screen meanwhile. Async-signal-safe.
static void park_owner(void) {
    if (!atomic_load(&has_owner) || pthread_equal(owner, pthread_self())) return;
    if (pthread_kill(owner, PARK_SIGNAL) != 0) return;
    struct timespec millisecond = {.tv_nsec = 1000000};
    for (int i = 0; i < 100 && !atomic_load(&is_parked); i++) nanosleep(&millisecond, NULL);
}

// Async-signal-safe. The exchange makes the first of several dying threads do it, once.
static void give_terminal_back(void) {
    if (!atomic_exchange(&is_active, 0) || terminal < 0) return;
    // In the background tcsetattr would stop the process that is about to die.
    sigset_t ttou, old;
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &ttou, &old);
    lathe_guard_write(terminal, restore_text, restore_length);
    // Keys that were meant for the program are no commands for the shell: they are dropped.
    tcsetattr(terminal, TCSAFLUSH, &saved_modes);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

// The last lines a library or the runtime wrote, where the user can see them.
static void show_captured(void) {
    int log = captured, out = real_output[2] >= 0 ? real_output[2] : terminal;
    if (log < 0 || out < 0) return;
    captured = -1;
    for (int fd = 1; fd <= 2; fd++)
        if (real_output[fd] >= 0) dup2(real_output[fd], fd);
    enum { TAIL = 16384 };
    static char buffer[4096];
    off_t end = lseek(log, 0, SEEK_END);
    off_t at = end > TAIL ? end - TAIL : 0;
    while (at < end) {
        ssize_t n = pread(log, buffer, sizeof buffer, at);
        if (n <= 0) break;
        lathe_guard_write(out, buffer, (size_t)n);
        at += n;
    }
}

static void on_crash(int signal_number) {
    int saved = errno;
    int was_active = atomic_load(&is_active);
    if (was_active) park_owner();
    give_terminal_back();
    show_captured();
    static const char hint[] = "lathe: crashed; SWIFT_BACKTRACE=enable=yes in the environment shows where\n";
    if (was_active && !keeps_previous) lathe_guard_write(real_output[2] >= 0 ? real_output[2] : terminal, hint, sizeof hint - 1);
    for (int i = 0; i < COUNT_CRASH; i++)
        if (crash_signals[i] == signal_number) sigaction(signal_number, &previous[i], NULL);
    errno = saved;
    // Blocked until this handler returns, then taken by the earlier handler or the default action.
    raise(signal_number);
}

static void on_end(int signal_number) {
    // The kernel gives a signal to any thread; the owner dies of it, so that it cannot be painting at the same time.
    if (atomic_load(&has_owner) && !pthread_equal(owner, pthread_self()) && pthread_kill(owner, signal_number) == 0) return;
    give_terminal_back();
    show_captured();
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(signal_number, &standard, NULL);
    raise(signal_number);
}

static void on_resize(int n) { (void)n; got_resize = 1; }
static void on_suspend(int n) { (void)n; got_suspend = 1; }
static void on_continue(int n) { (void)n; got_continue = 1; }

// exit() from anywhere leaves the terminal sane, too.
static void on_exit_(void) {
    give_terminal_back();
    show_captured();
}

static void waiting_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGWINCH);
    sigaddset(set, SIGTSTP);
    sigaddset(set, SIGCONT);
}

void lathe_guard_block_signals(void) {
    sigset_t set;
    waiting_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void handle(int signal_number, void (*handler)(int), int flags, struct sigaction *old) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, old);
}

// Whoever started us may have left signals blocked, as threads of libdispatch do: then not even SIGTERM would end the program.
static void unblock_deadly_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < COUNT_CRASH; i++) sigaddset(&set, crash_signals[i]);
    for (int i = 0; i < COUNT_END; i++) sigaddset(&set, end_signals[i]);
    sigaddset(&set, PARK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int lathe_guard_install(void) {
    static int is_installed;
    lathe_guard_block_signals();
    owner = pthread_self();
    atomic_store(&has_owner, 1);
    if (is_installed) return 0;
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return errno;

    // A stack overflow leaves no stack for the handler.
    static char spare_stack[65536];
    stack_t present;
    if (sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_DISABLE)) {
        stack_t spare = {.ss_sp = spare_stack, .ss_size = sizeof spare_stack};
        sigaltstack(&spare, NULL);
    }
    for (int i = 0; i < COUNT_CRASH; i++) handle(crash_signals[i], on_crash, SA_ONSTACK, &previous[i]);
    // Swift's backtracer asks whether to debug and waits for half a minute: for those who asked for it.
    keeps_previous = getenv("SWIFT_BACKTRACE") != NULL;
    if (!keeps_previous)
        for (int i = 0; i < COUNT_CRASH; i++) previous[i] = (struct sigaction){.sa_handler = SIG_DFL};
    handle(PARK_SIGNAL, on_park, 0, NULL);
    for (int i = 0; i < COUNT_END; i++) {
        struct sigaction old;
        sigaction(end_signals[i], NULL, &old);
        // nohup and the like: what is ignored stays ignored.
        if (old.sa_handler != SIG_IGN) handle(end_signals[i], on_end, SA_ONSTACK, NULL);
    }
    handle(SIGWINCH, on_resize, 0, NULL);
    handle(SIGTSTP, on_suspend, 0, NULL);
    handle(SIGCONT, on_continue, 0, NULL);
    atexit(on_exit_);
    is_installed = 1;
    unblock_deadly_signals();
    return 0;
}

int lathe_guard_save_modes(int tty) {
    if (tcgetattr(tty, &saved_modes) != 0) return errno;
    terminal = tty;
    return 0;
}

void lathe_guard_set_restore_text(const char *restore, size_t length) {
    restore_length = length < sizeof restore_text ? length : sizeof restore_text - 1;
    memcpy(restore_text, restore, restore_length);
}

void lathe_guard_set_active(int active) { atomic_store(&is_active, active); }

int lathe_guard_capture_output(void) {
    if (captured >= 0) return 0;
    const char *folder = getenv("TMPDIR");
    char path[4096];
    static const char name[] = "/lathe-output-XXXXXX";
    if (!folder || strlen(folder) + sizeof name > sizeof path) folder = "/tmp";
    strcpy(path, folder);
    strcat(path, name);
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    if (fd < 0) return errno;
    unlink(path);
    captured = fd;
    // What was printed so far belongs on the terminal; what comes now, in the file line by line.
    fflush(stdout);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int target = 1; target <= 2; target++) {
        if (!isatty(target)) continue;
        real_output[target] = fcntl(target, F_DUPFD_CLOEXEC, 3);
        if (real_output[target] >= 0) dup2(fd, target);
    }
    return 0;
}

void lathe_guard_release_output(void) {
    for (int target = 1; target <= 2; target++) {
        if (real_output[target] < 0) continue;
        dup2(real_output[target], target);
        close(real_output[target]);
        real_output[target] = -1;
    }
    if (captured >= 0) close(captured);
    captured = -1;
}

void lathe_guard_flush_output(void) { fflush(stdout); }

ptrdiff_t lathe_guard_read_captured(int64_t offset, char *buffer, size_t capacity) {
    if (captured < 0) return 0;
    ssize_t n = pread(captured, buffer, capacity, (off_t)offset);
    return n > 0 ? n : 0;
}

int lathe_guard_wait(int input, int timeout_ms) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    sigdelset(&mask, SIGWINCH);
    sigdelset(&mask, SIGTSTP);
    sigdelset(&mask, SIGCONT);
    struct pollfd fds[2] = {{.fd = input, .events = POLLIN}, {.fd = wake_pipe[0], .events = POLLIN}};
    struct timespec limit = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    int n = ppoll(fds, 2, timeout_ms < 0 ? NULL : &limit, &mask);
    int result = 0;
    if (n > 0) {
        if (fds[0].revents & POLLIN) result |= LATHE_WAIT_INPUT;
        if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) result |= LATHE_WAIT_LOST;
        if (fds[1].revents & POLLIN) {
            char drain[64];
            while (read(wake_pipe[0], drain, sizeof drain) > 0) {}
            result |= LATHE_WAIT_WAKE;
        }
    }
    // Signals are blocked again here, so none can be lost between reading a flag and clearing it.
    if (got_resize) { got_resize = 0; result |= LATHE_WAIT_RESIZE; }
    if (got_suspend) { got_suspend = 0; result |= LATHE_WAIT_SUSPEND; }
    if (got_continue) { got_continue = 0; result |= LATHE_WAIT_CONTINUE; }
    return result;
}

void lathe_guard_wake(void) {
    int saved = errno;
    // A full pipe is a wake already.
    if (wake_pipe[1] >= 0) { ssize_t ignored = write(wake_pipe[1], "w", 1); (void)ignored; }
    errno = saved;
}

void lathe_guard_stop(int whole) {
    struct sigaction standard = {.sa_handler = SIG_DFL}, ours;
    sigaction(SIGTSTP, &standard, &ours);
    sigset_t stop, old;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, &old);
    kill(whole ? 0 : getpid(), SIGTSTP);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sigaction(SIGTSTP, &ours, NULL);
    // The SIGCONT that woke us is pending, because it is blocked; the caller knows already.
    sigset_t resumed;
    sigemptyset(&resumed);
    sigaddset(&resumed, SIGCONT);
    struct timespec now = {0};
    while (sigtimedwait(&resumed, NULL, &now) > 0) {}
}

int lathe_guard_size(int tty, int *columns, int *rows) {
    struct winsize size;
    if (ioctl(tty, TIOCGWINSZ, &size) != 0) return errno;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}
