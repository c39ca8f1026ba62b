/* Files of a simulated host that are written in place, as databases do.
 *
 * Every change is applied at once and also remembered, with what it replaced, until the file is
 * synced. A power loss takes all of them back and then applies each again or not, by a draw, or its
 * first sectors only: disks write in any order and may stop in the middle.
 *
 * Must stay true: a file's content with all remembered changes undone is what was last synced. */
#include "rt/sim_priv.h"

#include <stdlib.h>

#define SECTOR        512
#define FILE_SIZE_MAX (1u << 30)

struct sim_change {
	struct sim_change *older;
	size_t at, n;                 /* bytes from `at` on were replaced by n others */
	size_t n_before, size_before; /* how many old ones there are to put back */
	uint8_t *after, *before;
	bool cut; /* the file ends at `at` from now on */
};

struct disk_file {
	struct host *host;
	char *path;
};

static void change_free(struct sim_change *c)
{
	free(c->after);
	free(c->before);
	free(c);
}

void sim_changes_settle(struct sim_file *f)
{
	struct sim_change *c;

	while ((c = f->changes)) {
		f->changes = c->older;
		change_free(c);
	}
}

/* ---- the content --------------------------------------------------------------------------- */

static void resize(struct sim_file *f, size_t n)
{
	if (n > f->cap) {
		size_t cap = n + n / 2 + SECTOR;

		f->data = realloc(f->data, cap);
		if (!f->data)
			BUG("the simulation has no memory for a file of %zu bytes", cap);
		f->cap = cap;
	}
	if (n > f->n)
		memset(f->data + f->n, 0, n - f->n);
	f->n = n;
}

static void apply(struct sim_file *f, const struct sim_change *c, size_t n)
{
	if (c->cut) {
		resize(f, c->at);
		return;
	}
	if (n == 0)
		return;
	if (c->at + n > f->n)
		resize(f, c->at + n);
	memcpy(f->data + c->at, c->after, n);
}

static void undo(struct sim_file *f, const struct sim_change *c)
{
	resize(f, c->size_before);
	if (c->n_before > 0)
		memcpy(f->data + c->at, c->before, c->n_before);
}

static void change(struct sim_file *f, const void *data, size_t n, size_t at, bool cut)
{
	struct sim_change *c = sim_alloc(sizeof(*c));
	size_t end = cut ? f->n : at + n;

	*c = (struct sim_change){
	    .older = f->changes, .at = at, .n = n, .cut = cut, .size_before = f->n};
	if (end > f->n)
		end = f->n;
	c->n_before = end > at ? end - at : 0;
	c->before = sim_alloc(c->n_before + 1);
	c->after = sim_alloc(n + 1);
	if (c->n_before > 0)
		memcpy(c->before, f->data + at, c->n_before);
	if (n > 0)
		memcpy(c->after, data, n);
	f->changes = c;
	apply(f, c, n);
}

void sim_changes_crash(struct host *h, struct sim_file *f)
{
	struct sim_change *c, *oldest = NULL;

	while ((c = f->changes)) {
		f->changes = c->older;
		undo(f, c);
		c->older = oldest;
		oldest = c;
	}
	while ((c = oldest)) {
		size_t sectors = c->n / SECTOR;

		oldest = c->older;
		switch (prng_below(&h->u->prng, 3)) {
		case 0:
			apply(f, c, c->n);
			break;
		case 1:
			if (!c->cut)
				apply(f, c, SECTOR * (size_t)prng_below(&h->u->prng, sectors + 1));
			break;
		default:
			break;
		}
		change_free(c);
	}
}

/* ---- the interface ------------------------------------------------------------------------- */

/* The file of a handle; NULL after a crash, or when it was removed. */
static struct sim_file *file_of(const struct disk_file *d)
{
	return d->host->ghost ? NULL : sim_file_find(d->host, d->path);
}

static int disk_open(struct world *w, const char *path, bool create, struct disk_file **out)
{
	struct host *h = host_of(w);
	struct disk_file *d;
	struct sim_file *f;
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, NULL);

	if (rc == 0)
		rc = host_check(h, NULL);
	if (rc == 0)
		rc = sim_parent_check(h, clean, NULL);
	if (rc != 0)
		return rc;
	f = sim_file_find(h, clean);
	if (!f && !create)
		return E_NOT_FOUND;
	if (f && f->now.is_dir)
		return E_IO;
	if (!f) {
		f = sim_file_made(h, clean);
		f->now = (struct node_state){.exists = true, .mode = 0600};
		change(f, NULL, 0, 0, true); /* what was here under this name */
	}
	d = sim_alloc(sizeof(*d));
	*d = (struct disk_file){h, sim_strdup(clean)};
	*out = d;
	return 0;
}

static void disk_close(struct disk_file *d)
{
	free(d->path);
	free(d);
}

static ssize_t disk_read(struct disk_file *d, void *buf, size_t n, uint64_t at)
{
	const struct sim_file *f = file_of(d);

	if (!f)
		return E_IO;
	if (at >= f->n)
		return 0;
	if (n > f->n - at)
		n = f->n - (size_t)at;
	memcpy(buf, f->data + at, n);
	return (ssize_t)n;
}

void universe_disk_limit(struct world *host, uint64_t bytes)
{
	host_of(host)->disk_limit = bytes;
}

static bool is_full(const struct host *h, const struct sim_file *f, uint64_t size)
{
	const struct sim_file *other, *next;
	uint64_t sum = 0;

	if (h->disk_limit == 0 || size <= f->n)
		return false;
	HASH_ITER (hh, h->files, other, next)
		sum += other == f ? size : other->n;
	return sum > h->disk_limit;
}

static int disk_write(struct disk_file *d, const void *buf, size_t n, uint64_t at)
{
	struct sim_file *f = file_of(d);

	if (!f)
		return E_IO;
	if (at + n > FILE_SIZE_MAX || is_full(d->host, f, at + n))
		return E_TOO_LARGE;
	change(f, buf, n, (size_t)at, false);
	return 0;
}

static int disk_truncate(struct disk_file *d, uint64_t size)
{
	struct sim_file *f = file_of(d);

	if (!f)
		return E_IO;
	if (size > FILE_SIZE_MAX || is_full(d->host, f, size))
		return E_TOO_LARGE;
	change(f, NULL, 0, (size_t)size, true);
	return 0;
}

static int disk_sync(struct disk_file *d, bool folder)
{
	struct sim_file *f = file_of(d);

	if (!f)
		return E_IO;
	sim_changes_settle(f);
	if (folder)
		sim_folder_sync(d->host, d->path);
	return 0;
}

static int64_t disk_size(const struct disk_file *d)
{
	const struct sim_file *f = file_of(d);

	return f ? (int64_t)f->n : E_IO;
}

static int disk_remove(struct world *w, const char *path)
{
	struct host *h = host_of(w);
	struct sim_file *f;
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, NULL);

	if (rc == 0)
		rc = host_check(h, NULL);
	if (rc != 0)
		return rc;
	f = sim_file_find(h, clean);
	if (!f)
		return E_NOT_FOUND;
	f->now.exists = false;
	return 0;
}

static bool disk_exists(struct world *w, const char *path)
{
	char clean[SIM_PATH_MAX];

	return !host_of(w)->ghost && sim_path_clean(path, clean, NULL) == 0 &&
	       sim_file_find(host_of(w), clean);
}

const struct disk_ops sim_disk_ops = {
    .open = disk_open,
    .close = disk_close,
    .read = disk_read,
    .write = disk_write,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .size = disk_size,
    .remove = disk_remove,
    .exists = disk_exists,
};
