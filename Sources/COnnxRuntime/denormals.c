#include "denormals.h"

#if defined(__SSE2__)
#include <xmmintrin.h>

// MXCSR: bit 15 flushes denormal results to zero (FTZ), bit 6 reads denormal operands as zero (DAZ). Every x86-64
// processor that ONNX Runtime supports has both.
enum { kFlushToZero = 1u << 15, kDenormalsAreZero = 1u << 6, kBoth = kFlushToZero | kDenormalsAreZero };

bool lathe_denormals_supported(void) { return true; }
uint32_t lathe_float_control_get(void) { return _mm_getcsr(); }
void lathe_float_control_set(uint32_t word) { _mm_setcsr(word); }
uint32_t lathe_float_control_flushing(uint32_t word, bool flush) { return flush ? word | kBoth : word & ~kBoth; }
bool lathe_float_control_flushes(uint32_t word) { return (word & kBoth) == kBoth; }

#else

bool lathe_denormals_supported(void) { return false; }
uint32_t lathe_float_control_get(void) { return 0; }
void lathe_float_control_set(uint32_t word) { (void)word; }
uint32_t lathe_float_control_flushing(uint32_t word, bool flush) { (void)flush; return word; }
bool lathe_float_control_flushes(uint32_t word) { (void)word; return false; }

#endif
