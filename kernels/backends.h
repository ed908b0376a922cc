/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_BACKENDS_H
#define QO_KERNELS_BACKENDS_H

#include "kernels.h"

/*
 * The backends of this build, for engine.c only. One that was not built, or that the machine cannot
 * run, answers to its name all the same: its `open` says why not.
 */
extern const struct kernels kernels_portable;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_cuda;

/* Pure. Whether this build and this machine can run the backend of that name. */
bool backends_have_avx2(void);
bool backends_have_avx512(void);
bool backends_have_cuda(void);

#endif
