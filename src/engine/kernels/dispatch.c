/* Choosing the kernels once, at load: what the processor has, or what the caller forces. */
#include "engine/kernels/sets_priv.h"

bool engine_type_quantised(uint32_t type)
{
	return type != GGML_F32 && type != GGML_F16 && type != GGML_BF16;
}

int engine_kernel_choice_parse(const char *text, enum engine_kernel_choice *out, struct err *err)
{
	static const char *const names[] = {"auto", "ref", "avx2", "avx512"};
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(text, names[i]) == 0) {
			*out = (enum engine_kernel_choice)i;
			return 0;
		}
	return err_set(err, E_INVALID, "unknown kernels '%s': use auto, ref, avx2 or avx512", text);
}

#ifdef __x86_64__

/* Every processor with AVX2 has F16C; compilers cannot all be asked about the latter. */
static const struct engine_kernels *best_avx2(void)
{
	bool ok = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	return ok ? &engine_kernels_avx2 : NULL;
}

static const struct engine_kernels *best_avx512(void)
{
	bool ok = best_avx2() && __builtin_cpu_supports("avx512f") &&
		  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		  __builtin_cpu_supports("avx512vl");
	if (!ok)
		return NULL;
	return __builtin_cpu_supports("avx512vnni") ? &engine_kernels_avx512vnni
						    : &engine_kernels_avx512;
}

#else

static const struct engine_kernels *best_avx2(void)
{
	return NULL;
}

static const struct engine_kernels *best_avx512(void)
{
	return NULL;
}

#endif

int engine_kernels_choose(
    enum engine_kernel_choice choice, const struct engine_kernels **out, struct err *err)
{
	const struct engine_kernels *found = NULL;
	switch (choice) {
	case ENGINE_KERNELS_AUTO:
		found = best_avx512();
		if (!found)
			found = best_avx2();
		if (!found)
			found = &engine_kernels_ref;
		break;
	case ENGINE_KERNELS_REF:
		found = &engine_kernels_ref;
		break;
	case ENGINE_KERNELS_AVX2:
		found = best_avx2();
		break;
	case ENGINE_KERNELS_AVX512:
		found = best_avx512();
		break;
	}
	if (!found)
		return err_set(err, E_UNSUPPORTED,
		    "this processor lacks the instructions for the %s kernels",
		    choice == ENGINE_KERNELS_AVX2 ? "avx2" : "avx512");
	*out = found;
	return 0;
}
