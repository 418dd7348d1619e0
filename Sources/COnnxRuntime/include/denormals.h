// The calling thread's treatment of denormal (subnormal) numbers.
#ifndef LATHE_DENORMALS_H
#define LATHE_DENORMALS_H

#include <stdbool.h>
#include <stdint.h>

/// Whether this build can change how the processor treats denormals (x86 only).
bool lathe_denormals_supported(void);

/// The thread's floating-point control word; 0 where unsupported.
uint32_t lathe_float_control_get(void);

/// Puts back a word that `lathe_float_control_get` returned on this thread.
void lathe_float_control_set(uint32_t word);

/// `word` with flush-to-zero and denormals-are-zero both set or both cleared.
uint32_t lathe_float_control_flushing(uint32_t word, bool flush);

/// Whether both flush-to-zero and denormals-are-zero are set in `word`.
bool lathe_float_control_flushes(uint32_t word);

#endif
