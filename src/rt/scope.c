/* Scopes: the tree of lifetimes. See rt.h for the contract.
 *
 * Must stay true: a scope's effective deadline is never later than its parent's (unless shielded);
 * `cancelled` is set on a whole subtree at once, so looking at one scope is enough; a fiber is on
 * the list of exactly the innermost scope it is in. */
#include "rt/rt_priv.h"

#include <string.h>
#include <talloc.h>

static void link_below(struct scope *sc, struct scope *parent)
{
	sc->parent = parent;
	sc->next = parent->first_child;
	if (sc->next)
		sc->next->prev = sc;
	parent->first_child = sc;
}

static void unlink_from_parent(struct scope *sc)
{
	if (!sc->parent)
		return;
	if (sc->prev)
		sc->prev->next = sc->next;
	else
		sc->parent->first_child = sc->next;
	if (sc->next)
		sc->next->prev = sc->prev;
}

void scope_enter(struct scope *sc, struct fiber *f)
{
	f->scope = sc;
	f->inside_prev = NULL;
	f->inside_next = sc->inside;
	if (sc->inside)
		sc->inside->inside_prev = f;
	sc->inside = f;
}

void scope_leave(struct fiber *f)
{
	struct scope *sc = f->scope;
	if (f->inside_prev)
		f->inside_prev->inside_next = f->inside_next;
	else
		sc->inside = f->inside_next;
	if (f->inside_next)
		f->inside_next->inside_prev = f->inside_prev;
	f->scope = NULL;
}

void scope_init_root(struct scope *sc, struct rt *rt, struct log *log)
{
	*sc = (struct scope){.rt = rt, .log = log, .deadline = INSTANT_NEVER, .shielded = true};
}

static void init_below(struct scope *sc, struct scope *parent, bool shielded)
{
	*sc = (struct scope){
	    .rt = parent->rt,
	    .log = parent->log,
	    .deadline = shielded ? INSTANT_NEVER : parent->deadline,
	    .cancelled = !shielded && parent->cancelled,
	    .shielded = shielded,
	};
	link_below(sc, parent);
}

static void open_current(struct scope *sc, struct duration limit, bool shielded)
{
	struct fiber *f = fiber_running();
	init_below(sc, f->scope, shielded);
	if (limit.ns != INT64_MAX)
		sc->deadline = instant_min(sc->deadline, instant_add(rt_now(), limit));
	sc->entered = true;
	scope_leave(f);
	scope_enter(sc, f);
}

void scope_open(struct scope *sc, struct duration limit)
{
	open_current(sc, limit, false);
}

void scope_open_shielded(struct scope *sc, struct duration limit)
{
	INVARIANT(limit.ns != INT64_MAX);
	open_current(sc, limit, true);
}

void scope_init(struct scope *sc, struct scope *parent)
{
	init_below(sc, parent ? parent : fiber_running()->scope, false);
}

void scope_cancel(struct scope *sc)
{
	if (sc->cancelled)
		return;
	sc->cancelled = true;
	for (struct fiber *f = sc->inside; f; f = f->inside_next)
		if (f->state == FIBER_PARKED && !f->uninterruptible)
			fiber_wake(f, E_CANCELLED);
	for (struct scope *child = sc->first_child; child; child = child->next)
		if (!child->shielded)
			scope_cancel(child);
}

bool scope_cancelled(const struct scope *sc)
{
	return sc->cancelled;
}

void scope_close(struct scope *sc)
{
	struct fiber *f = fiber_running();
	INVARIANT(!sc->entered || f->scope == sc);
	INVARIANT(f->home != sc);
	scope_cancel(sc);
	INVARIANT(!sc->joiner);
	while (sc->n_fibers > 0) {
		sc->joiner = f;
		(void)fiber_park(NULL, INSTANT_NEVER, true, NULL);
		sc->joiner = NULL;
	}
	if (sc->first_child)
		BUG("a scope is closed before one below it (fiber %s)", f->name);
	if (sc->entered) {
		scope_leave(f);
		scope_enter(sc->parent, f);
	}
	if (sc->mem)
		talloc_free(sc->mem);
	unlink_from_parent(sc);
	memset(sc, 0, sizeof *sc);
}

int scope_join(struct scope *sc)
{
	struct fiber *f = fiber_running();
	INVARIANT(!sc->joiner);
	int rc = 0;
	while (sc->n_fibers > 0 && rc == 0) {
		sc->joiner = f;
		rc = fiber_park(NULL, INSTANT_NEVER, false, NULL);
		sc->joiner = NULL;
	}
	return rc;
}

void scope_fiber_ended(struct scope *sc)
{
	INVARIANT(sc->n_fibers > 0);
	if (--sc->n_fibers == 0 && sc->joiner && sc->joiner->state == FIBER_PARKED)
		fiber_wake(sc->joiner, 0);
}

struct scope *scope_current(void)
{
	return fiber_running()->scope;
}

void *scope_mem(struct scope *sc)
{
	if (!sc->mem) {
		void *parent = sc->parent ? scope_mem(sc->parent) : NULL;
		sc->mem = talloc_named_const(parent, 0, "scope");
		if (!sc->mem)
			BUG("no memory for a scope");
	}
	return sc->mem;
}

int scope_verdict(const struct scope *sc)
{
	if (sc->cancelled)
		return E_CANCELLED;
	if (sc->deadline.ns != INT64_MAX && !instant_before(rt_now(), sc->deadline))
		return E_TIMEOUT;
	return 0;
}

struct duration scope_remaining(void)
{
	struct instant deadline = scope_current()->deadline;
	return deadline.ns == INT64_MAX ? DURATION_FOREVER : instant_since(deadline, rt_now());
}

int scope_check(struct err *err)
{
	int rc = scope_verdict(scope_current());
	return rc ? err_set(err, rc, "%s", err_info(rc)->text) : 0;
}

struct log *scope_log(void)
{
	struct rt *rt = rt_running();
	return rt && rt->running ? rt->running->scope->log : NULL;
}

void scope_set_log(struct scope *sc, struct log *log)
{
	sc->log = log;
}
