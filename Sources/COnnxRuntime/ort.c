#include "ort.h"

const OrtApiBase *lathe_ort_api_base(void *symbol) {
  // POSIX guarantees that an object pointer from dlsym can be converted to a function pointer; Swift has no such cast
  // that spells out the calling convention as plainly.
  const OrtApiBase *(*get)(void) = (const OrtApiBase *(*)(void))symbol;
  return get();
}
