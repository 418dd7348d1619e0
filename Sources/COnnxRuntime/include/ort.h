#ifndef LATHE_ORT_H
#define LATHE_ORT_H
#endif
