// Wide-character ncurses for Swift, which can import neither variadic functions nor macros with arguments, and takes the
// globals (stdscr, COLORS, ...) for data races. Everything used through those is a function here.
#ifndef LATHE_CNCURSES_SHIM_H
#define LATHE_CNCURSES_SHIM_H

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <wchar.h>

static inline WINDOW *lathe_stdscr(void) { return stdscr; }
static inline int lathe_lines(void) { return LINES; }
static inline int lathe_columns(void) { return COLS; }
static inline int lathe_colors(void) { return COLORS; }
static inline int lathe_color_pairs(void) { return COLOR_PAIRS; }

static inline attr_t lathe_attr_bold(void) { return A_BOLD; }
static inline attr_t lathe_attr_dim(void) { return A_DIM; }
static inline attr_t lathe_attr_reverse(void) { return A_REVERSE; }
static inline attr_t lathe_attr_underline(void) { return A_UNDERLINE; }
static inline attr_t lathe_attr_italic(void) { return A_ITALIC; }

// Adds one cell at the window's cursor. `scalars` ends in 0: one spacing character and the marks on it. Pairs above 32767
// go through setcchar's last argument.
static inline int lathe_add_cell(WINDOW *window, const wchar_t *scalars, attr_t attributes, int pair) {
    cchar_t cell;
    if (setcchar(&cell, scalars, attributes, 0, &pair) != OK) return ERR;
    return wadd_wch(window, &cell);
}

// The same for a single character.
static inline int lathe_add_scalar(WINDOW *window, wchar_t scalar, attr_t attributes, int pair) {
    const wchar_t scalars[2] = {scalar, 0};
    return lathe_add_cell(window, scalars, attributes, pair);
}

// The name of the character set of LC_CTYPE.
static inline const char *lathe_codeset(void) { return nl_langinfo(CODESET); }

// A string capability, or null when the terminal lacks it.
static inline const char *lathe_capability(const char *name) {
    const char *value = tigetstr(name);
    return value == (const char *)-1 ? NULL : value;
}

// Of term.h, whose macros take many common names.
extern int setupterm(const char *term, int descriptor, int *problem);

// Reads the terminal's description without taking the terminal over; 0 when it is known.
static inline int lathe_describe_terminal(void) {
    int problem = 0;
    return setupterm(NULL, 1, &problem) == OK ? 0 : -1;
}

// Mouse buttons 1...3 as bits: press 1, release 2.
static inline mmask_t lathe_button_pressed(int button) { return NCURSES_MOUSE_MASK(button, NCURSES_BUTTON_PRESSED); }
static inline mmask_t lathe_button_released(int button) { return NCURSES_MOUSE_MASK(button, NCURSES_BUTTON_RELEASED); }
// Press and release that arrived together.
static inline mmask_t lathe_button_clicked(int button) {
    return NCURSES_MOUSE_MASK(button, NCURSES_BUTTON_CLICKED | NCURSES_DOUBLE_CLICKED | NCURSES_TRIPLE_CLICKED);
}
static inline mmask_t lathe_mouse_moved(void) { return REPORT_MOUSE_POSITION; }
static inline mmask_t lathe_mouse_shift(void) { return BUTTON_SHIFT; }
static inline mmask_t lathe_mouse_ctrl(void) { return BUTTON_CTRL; }
static inline mmask_t lathe_mouse_alt(void) { return BUTTON_ALT; }
static inline mmask_t lathe_mouse_all(void) {
    return ALL_MOUSE_EVENTS | BUTTON_SHIFT | BUTTON_CTRL | BUTTON_ALT | REPORT_MOUSE_POSITION;
}

static inline int lathe_key_code_yes(void) { return KEY_CODE_YES; }
static inline int lathe_key_function(int n) { return KEY_F(n); }

#endif
