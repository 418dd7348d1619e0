// The few BLAS and LAPACK routines the engine calls, declared here because Debian keeps the headers behind
// alternatives. 32-bit integers, Fortran calling convention: every argument by address, column-major arrays.
#ifndef LATHE_CLAPACK_SHIM_H
#define LATHE_CLAPACK_SHIM_H

#include <stdint.h>

/// Number of threads OpenBLAS may use; process-wide.
void openblas_set_num_threads(int threads);

void sgemm_(const char *transa, const char *transb, const int32_t *m, const int32_t *n, const int32_t *k,
            const float *alpha, const float *a, const int32_t *lda, const float *b, const int32_t *ldb,
            const float *beta, float *c, const int32_t *ldc);

/// Symmetric rank-k update: one triangle of c = alpha·a·aᵀ + beta·c.
void ssyrk_(const char *uplo, const char *trans, const int32_t *n, const int32_t *k, const float *alpha, const float *a,
            const int32_t *lda, const float *beta, float *c, const int32_t *ldc);

/// Singular value decomposition, divide and conquer.
void sgesdd_(const char *jobz, const int32_t *m, const int32_t *n, float *a, const int32_t *lda, float *s, float *u,
             const int32_t *ldu, float *vt, const int32_t *ldvt, float *work, const int32_t *lwork, int32_t *iwork,
             int32_t *info);

void dgemm_(const char *transa, const char *transb, const int32_t *m, const int32_t *n, const int32_t *k,
            const double *alpha, const double *a, const int32_t *lda, const double *b, const int32_t *ldb,
            const double *beta, double *c, const int32_t *ldc);

/// Cholesky factorization, the solve that goes with it and the inverse from it, double precision.
void dpotrf_(const char *uplo, const int32_t *n, double *a, const int32_t *lda, int32_t *info);
void dpotrs_(const char *uplo, const int32_t *n, const int32_t *nrhs, const double *a, const int32_t *lda, double *b,
             const int32_t *ldb, int32_t *info);
void dpotri_(const char *uplo, const int32_t *n, double *a, const int32_t *lda, int32_t *info);

/// Inverse of a triangular matrix, in place, double precision.
void dtrtri_(const char *uplo, const char *diag, const int32_t *n, double *a, const int32_t *lda, int32_t *info);

/// Eigenvalues and eigenvectors of a symmetric matrix, divide and conquer, double precision.
void dsyevd_(const char *jobz, const char *uplo, const int32_t *n, double *a, const int32_t *lda, double *w, double *work,
             const int32_t *lwork, int32_t *iwork, const int32_t *liwork, int32_t *info);

#endif
