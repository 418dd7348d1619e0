#define _GNU_SOURCE  // dladdr
#include "ort.h"

#include <dlfcn.h>

const OrtApiBase *lathe_ort_api_base(void *symbol) {
  // POSIX guarantees that an object pointer from dlsym can be converted to a function pointer; Swift has no such cast
  // that spells out the calling convention as plainly.
  const OrtApiBase *(*get)(void) = (const OrtApiBase *(*)(void))symbol;
  return get();
}

const char *lathe_image_path(const void *address) {
  Dl_info info;
  return dladdr(address, &info) != 0 ? info.dli_fname : NULL;
}

const char *lathe_own_image_path(void) { return lathe_image_path((const void *)&lathe_own_image_path); }
