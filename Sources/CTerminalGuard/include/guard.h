#ifndef LATHE_GUARD_H
#define LATHE_GUARD_H
#endif
