/* Stacks and context switches.
 *
 * The switch itself is Boost.Context's fcontext: maintained assembly for every architecture. What
 * is ours is the annotation that keeps sanitizers and Valgrind sane about it, and the stacks: 128
 * KiB of address space, of which an idle fiber touches one or two pages.
 *
 * Must stay true: a fiber runs on its own stack alone, and its stack is released only from the
 * loop's stack. */
#include "rt/rt_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define WITH_VALGRIND 1
#endif
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* Boost.Context's C entry points (boost/context/detail/fcontext.hpp declares them for C++). */
struct transfer {
	fcontext_t from;
	void *data;
};
struct transfer jump_fcontext(fcontext_t to, void *data);
fcontext_t make_fcontext(void *stack_top, size_t size, void (*entry)(struct transfer));

#if defined(WITH_ASAN) || defined(WITH_TSAN)
#define STACK_SIZE (256u << 10)
#else
#define STACK_SIZE (128u << 10)
#endif
#define STACKS_CACHED_MAX 256
/* Left alone below a frame: what the ABI lets a function use without telling, and our own calls. */
#define TRIM_KEEPS  512
#define CANARY_SIZE 64
#define CANARY_BYTE 0xA5

/* Linux 6.13: a guard page that costs no mapping of its own. */
#define MADVISE_GUARD_INSTALL 102

/* ---- stacks -------------------------------------------------------------------------------- */

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int stack_map(enum stack_kind kind, struct stack *out, struct err *err)
{
	size_t guard = kind == STACK_GUARDED ? page_size() : 0;
	uint8_t *map = mmap(NULL, STACK_SIZE + guard, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (map == MAP_FAILED)
		return err_set(err, E_MEMORY, "no memory for a fiber's stack");
	if (guard && madvise(map, guard, MADVISE_GUARD_INSTALL) != 0 &&
	    mprotect(map, guard, PROT_NONE) != 0) {
		munmap(map, STACK_SIZE + guard);
		return err_set(err, E_LIMIT, "too many fibers: the system allows no more mappings");
	}
	*out = (struct stack){map + guard, STACK_SIZE};
	if (kind == STACK_CANARY)
		memset(out->base, CANARY_BYTE, CANARY_SIZE);
#ifdef WITH_ASAN
	__lsan_register_root_region(out->base, out->size);
#endif
	return 0;
}

static void stack_unmap(enum stack_kind kind, struct stack *s)
{
	size_t guard = kind == STACK_GUARDED ? page_size() : 0;
#ifdef WITH_ASAN
	__lsan_unregister_root_region(s->base, s->size);
#endif
	munmap(s->base - guard, s->size + guard);
}

int stack_acquire(struct stack_pool *pool, struct stack *out, struct err *err)
{
	if (pool->n_cached == 0)
		return stack_map(pool->kind, out, err);
	*out = pool->cached[--pool->n_cached];
	return 0;
}

void stack_release(struct stack_pool *pool, struct stack *s)
{
	if (!pool->cached)
		pool->cached = calloc(STACKS_CACHED_MAX, sizeof *pool->cached);
	if (!pool->cached || pool->n_cached == STACKS_CACHED_MAX) {
		stack_unmap(pool->kind, s);
		return;
	}
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(s->base, s->size);
#endif
	pool->cached[pool->n_cached++] = *s;
}

void stack_pool_free(struct stack_pool *pool)
{
	while (pool->n_cached > 0)
		stack_unmap(pool->kind, &pool->cached[--pool->n_cached]);
	free(pool->cached);
	pool->cached = NULL;
}

void stack_trim(enum stack_kind kind, const struct stack *s)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) - TRIM_KEEPS;
	uintptr_t end = here - here % page_size();

	/* A canary lies there; and sanitizers keep books about what was there. */
#if !defined(WITH_ASAN) && !defined(WITH_TSAN)
	if (kind == STACK_GUARDED && end > (uintptr_t)s->base)
		(void)madvise(s->base, end - (uintptr_t)s->base, MADV_DONTNEED);
#else
	(void)kind;
	(void)end;
#endif
}

static void check_canary(const struct fiber *f)
{
	for (size_t i = 0; i < CANARY_SIZE; i++)
		if (f->stack.base[i] != CANARY_BYTE)
			BUG("fiber %s overflowed its stack", f->name);
}

/* ---- switching ----------------------------------------------------------------------------- */

/* Runs on the fiber's stack, right after each arrival there. */
static void arrived_in_fiber(struct fiber *f, struct transfer t)
{
	f->rt->loop_context = t.from;
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(
	    f->asan_fake_stack, &f->rt->loop_stack, &f->rt->loop_stack_size);
#endif
}

struct first_entry {
	struct fiber *f;
	void (*main_fn)(struct fiber *f);
};

static void entry(struct transfer t)
{
	struct first_entry first = *(struct first_entry *)t.data;
	arrived_in_fiber(first.f, t);
	first.main_fn(first.f);
	BUG("fiber %s returned from its main function", first.f->name);
}

void fiber_prepare(struct fiber *f, void (*main_fn)(struct fiber *f))
{
	/* The first jump hands over the entry record; it stands at the top of the new stack, where
	 * nothing has run yet. */
	uint8_t *top = f->stack.base + f->stack.size - sizeof(struct first_entry);
	top -= (uintptr_t)top % 16;
	*(struct first_entry *)(void *)top = (struct first_entry){f, main_fn};
	f->context = make_fcontext(top, (size_t)(top - f->stack.base), entry);
#ifdef WITH_TSAN
	f->tsan_fiber = __tsan_create_fiber(0);
	__tsan_set_fiber_name(f->tsan_fiber, f->name);
#endif
#ifdef WITH_VALGRIND
	f->valgrind_id = VALGRIND_STACK_REGISTER(f->stack.base, f->stack.base + f->stack.size);
#endif
}

void fiber_forget(struct fiber *f)
{
#ifdef WITH_TSAN
	__tsan_destroy_fiber(f->tsan_fiber);
#endif
#ifdef WITH_VALGRIND
	VALGRIND_STACK_DEREGISTER(f->valgrind_id);
#endif
	(void)f;
}

/* What the jump carries: only the first one is looked at. */
static void *first_data(struct fiber *f)
{
	uint8_t *top = f->stack.base + f->stack.size - sizeof(struct first_entry);
	return top - (uintptr_t)top % 16;
}

void fiber_switch_in(struct rt *rt, struct fiber *f)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&rt->loop_fake_stack, f->stack.base, f->stack.size);
#endif
#ifdef WITH_TSAN
	rt->loop_tsan = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(f->tsan_fiber, 0);
#endif
	struct transfer t = jump_fcontext(f->context, first_data(f));
	f->context = t.from;
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(rt->loop_fake_stack, NULL, NULL);
#endif
	if (rt->stacks.kind == STACK_CANARY)
		check_canary(f);
}

static void leave(struct fiber *f, bool forever)
{
	struct rt *rt = f->rt;
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(
	    forever ? NULL : &f->asan_fake_stack, rt->loop_stack, rt->loop_stack_size);
#else
	(void)forever;
#endif
#ifdef WITH_TSAN
	__tsan_switch_to_fiber(rt->loop_tsan, 0);
#endif
	struct transfer t = jump_fcontext(rt->loop_context, NULL);
	arrived_in_fiber(f, t);
}

void fiber_switch_out(struct fiber *f)
{
	leave(f, false);
}

void fiber_switch_out_forever(struct fiber *f)
{
	leave(f, true);
	BUG("fiber %s ran after its end", f->name);
}
