/* The kernel tables that may exist in this build; dispatch.c alone decides which one runs. */
#ifndef ENGINE_KERNELS_SETS_PRIV_H
#define ENGINE_KERNELS_SETS_PRIV_H

#include "engine/kernels/kernels.h"

extern const struct engine_kernels engine_kernels_ref;
#ifdef __x86_64__
extern const struct engine_kernels engine_kernels_avx2;
extern const struct engine_kernels engine_kernels_avx512;
extern const struct engine_kernels engine_kernels_avx512vnni;
#endif

#endif
