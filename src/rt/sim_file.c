/* The file system of a simulated host: a table from path to content, with what a power loss may
 * take back.
 *
 * Each entry has two states: what programs see, and what is on the disk. file_write makes the new
 * content durable before its name (temporary file, fsync, rename, fsync of the folder), so a crash
 * in its middle leaves the old file; the folder's fsync also settles its other entries. Removing
 * and making folders wait for the next such fsync: at a power loss each of those changes is kept or
 * undone by a draw. */
#include "rt/sim_priv.h"

#include <stdlib.h>

static const struct duration read_min = {10 * 1000}, read_max = {200 * 1000};
static const struct duration sync_min = {100 * 1000}, sync_max = {8 * 1000 * 1000};

struct sim_lock {
	struct file_lock base; /* first */
	struct sim_file *file; /* NULL after a crash */
};

/* ---- paths --------------------------------------------------------------------------------- */

/* Relative paths start in the host's working folder, which always is. */
int sim_path_clean(const char *path, char out[SIM_PATH_MAX], struct err *err)
{
	size_t n = 0;

	if (path[0] == 0 || strlen(path) >= SIM_PATH_MAX)
		return err_set(err, E_INVALID, "%.64s: an empty path, or one too long", path);
	for (const char *p = path; *p;) {
		size_t part = strcspn(p, "/");

		if (part > 0 && !(part == 1 && p[0] == '.')) {
			if (n > 0 && out[n - 1] != '/')
				out[n++] = '/';
			memcpy(out + n, p, part);
			n += part;
		}
		p += part;
		if (p == path)
			out[n++] = '/';
		p += strspn(p, "/");
	}
	out[n] = 0;
	return 0;
}

/* "/a/b" to "/a"; "/a" to "/"; "a" to "". */
static void path_parent(const char *path, char out[SIM_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (slash && n == 0)
		n = 1;
	memcpy(out, path, n);
	out[n] = 0;
}

static bool is_root(const char *path)
{
	return path[0] == 0 || strcmp(path, "/") == 0;
}

/* ---- the table ----------------------------------------------------------------------------- */

static struct sim_file *entry(struct host *h, const char *path)
{
	struct sim_file *f;

	HASH_FIND_STR(h->files, path, f);
	return f;
}

struct sim_file *sim_file_find(struct host *h, const char *path)
{
	struct sim_file *f = entry(h, path);

	return f && f->now.exists ? f : NULL;
}

struct sim_file *sim_file_made(struct host *h, const char *path)
{
	struct sim_file *f = entry(h, path);

	if (f)
		return f;
	f = sim_alloc(sizeof(*f));
	f->path = sim_strdup(path);
	HASH_ADD_KEYPTR(hh, h->files, f->path, strlen(f->path), f);
	return f;
}

static void entry_free(struct host *h, struct sim_file *f)
{
	HASH_DEL(h->files, f);
	if (f->lock)
		f->lock->file = NULL;
	sim_changes_settle(f);
	free(f->path);
	free(f->data);
	free(f);
}

/* The folder's fsync: what is in it now is on the disk. */
static void folder_sync(struct host *h, const char *folder)
{
	struct sim_file *f, *next;
	char parent[SIM_PATH_MAX];

	HASH_ITER (hh, h->files, f, next) {
		path_parent(f->path, parent);
		if (strcmp(parent, folder) != 0)
			continue;
		f->durable = f->now;
		if (!f->now.exists)
			entry_free(h, f);
	}
}

void sim_folder_sync(struct host *h, const char *path)
{
	char parent[SIM_PATH_MAX];

	path_parent(path, parent);
	folder_sync(h, parent);
}

int sim_parent_check(struct host *h, const char *path, struct err *err)
{
	char parent[SIM_PATH_MAX];
	const struct sim_file *f;

	path_parent(path, parent);
	f = sim_file_find(h, parent);
	if (is_root(parent) || (f && f->now.is_dir))
		return 0;
	return err_set(err, E_NOT_FOUND, "%s: %s", path, f ? "not a folder" : "no such folder");
}

static int not_found(const char *path, struct err *err)
{
	return err_set(err, E_NOT_FOUND, "%s: no such file", path);
}

/* ---- reading ------------------------------------------------------------------------------- */

int sim_file_read(struct world *w, const char *path, size_t max, struct buf *out, struct err *err)
{
	struct host *h = host_of(w);
	const struct sim_file *f;
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = sim_pause(h, read_min, read_max, err);
	if (rc != 0)
		return rc;
	f = sim_file_find(h, clean);
	if (!f)
		return not_found(path, err);
	if (f->now.is_dir)
		return err_set(err, E_IO, "%s: is a folder", path);
	if (f->n > max)
		return err_set(err, E_TOO_LARGE, "%s: larger than %zu bytes", path, max);
	buf_put(out, f->data, f->n);
	return buf_ok(out, err);
}

int sim_file_stat(struct world *w, const char *path, struct file_info *out, struct err *err)
{
	struct host *h = host_of(w);
	const struct sim_file *f;
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = sim_pause(h, read_min, read_max, err);
	if (rc != 0)
		return rc;
	f = sim_file_find(h, clean);
	if (!f && !is_root(clean))
		return not_found(path, err);
	*out = (struct file_info){.mode = 0755, .is_dir = true, .mine = true};
	if (f)
		*out = (struct file_info){.size = f->now.is_dir ? 0 : f->n,
		    .mode = f->now.mode,
		    .is_dir = f->now.is_dir,
		    .mine = true};
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* The rename and the folder's fsync. As journalling file systems do, that settles the folders above
 * as well. */
static void commit(struct host *h, struct sim_file *f, uint8_t *data, size_t n, uint32_t mode)
{
	char parent[SIM_PATH_MAX], above[SIM_PATH_MAX];
	struct sim_file *folder;

	sim_changes_settle(f);
	free(f->data);
	f->data = data;
	f->n = f->cap = n;
	f->now = (struct node_state){.exists = true, .mode = mode & 07777};
	path_parent(f->path, parent);
	folder_sync(h, parent);
	while ((folder = sim_file_find(h, parent))) {
		folder->durable = folder->now;
		path_parent(parent, above);
		memcpy(parent, above, sizeof(parent));
	}
}

int sim_file_write(
    struct world *w, const char *path, struct bytes data, uint32_t mode, struct err *err)
{
	struct host *h = host_of(w);
	struct sim_file *f;
	char clean[SIM_PATH_MAX];
	uint8_t *copy;
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = host_check(h, err);
	if (rc != 0)
		return rc;
	copy = sim_alloc(data.n + 1);
	if (data.n > 0)
		memcpy(copy, data.p, data.n);
	rc = sim_pause(h, sync_min, sync_max, err); /* the temporary file and its fsync */
	if (rc == 0)
		rc = sim_parent_check(h, clean, err);
	f = rc == 0 ? sim_file_find(h, clean) : NULL;
	if (rc == 0 && (is_root(clean) || (f && f->now.is_dir)))
		rc = err_set(err, E_IO, "%s: is a folder", path);
	if (rc != 0) {
		free(copy);
		return rc;
	}
	commit(h, sim_file_made(h, clean), copy, data.n, mode);
	return sim_pause(h, sync_min, sync_max, err);
}

int sim_file_remove(struct world *w, const char *path, struct err *err)
{
	struct host *h = host_of(w);
	struct sim_file *f;
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = sim_pause(h, read_min, read_max, err);
	if (rc == 0)
		rc = host_check(h, err);
	if (rc != 0)
		return rc;
	f = sim_file_find(h, clean);
	if (!f)
		return not_found(path, err);
	if (f->now.is_dir)
		return err_set(err, E_IO, "%s: is a folder", path);
	f->now.exists = false;
	return 0;
}

/* Writes here have no temporary files: a crash undoes them whole. */
int sim_file_tidy(struct world *w, const char *folder, struct err *err)
{
	struct file_info info;
	int rc = sim_file_stat(w, folder, &info, err);

	return rc == 0 && !info.is_dir ? err_set(err, E_IO, "%s: is no folder", folder) : rc;
}

static int mkdir_one(struct host *h, const char *path, uint32_t mode, struct err *err)
{
	struct sim_file *f = sim_file_find(h, path);

	if (is_root(path) || (f && f->now.is_dir))
		return 0;
	if (f)
		return err_set(err, E_EXISTS, "%s: is a file", path);
	f = sim_file_made(h, path);
	f->now = (struct node_state){.exists = true, .is_dir = true, .mode = mode & 07777};
	return 0;
}

int sim_file_mkdirs(struct world *w, const char *path, uint32_t mode, struct err *err)
{
	struct host *h = host_of(w);
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = sim_pause(h, read_min, read_max, err);
	if (rc == 0)
		rc = host_check(h, err);
	for (char *p = clean; rc == 0 && (p = strchr(p + 1, '/'));) {
		*p = 0;
		rc = mkdir_one(h, clean, mode, err);
		*p = '/';
	}
	return rc == 0 ? mkdir_one(h, clean, mode, err) : rc;
}

/* ---- locks --------------------------------------------------------------------------------- */

static void sim_unlock(struct file_lock *base)
{
	struct sim_lock *l = (struct sim_lock *)base;

	if (l->file)
		l->file->lock = NULL;
	free(l);
}

int sim_file_lock(struct world *w, const char *path, struct file_lock **out, struct err *err)
{
	struct host *h = host_of(w);
	struct sim_file *f;
	struct sim_lock *l;
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = sim_pause(h, read_min, read_max, err);
	if (rc == 0)
		rc = host_check(h, err);
	if (rc == 0)
		rc = sim_parent_check(h, clean, err);
	if (rc != 0)
		return rc;
	f = sim_file_made(h, clean);
	if (f->now.exists && f->now.is_dir)
		return err_set(err, E_IO, "%s: is a folder", path);
	if (f->lock)
		return err_set(err, E_IN_USE, "%s: locked by another process", path);
	if (!f->now.exists)
		f->now = (struct node_state){.exists = true, .mode = 0600};
	l = sim_alloc(sizeof(*l));
	*l = (struct sim_lock){.base.unlock = sim_unlock, .file = f};
	f->lock = l;
	*out = &l->base;
	return 0;
}

/* ---- sockets' names ------------------------------------------------------------------------ */

int files_socket(struct host *h, const char *path, struct err *err)
{
	char clean[SIM_PATH_MAX];
	int rc = sim_path_clean(path, clean, err);

	if (rc == 0)
		rc = sim_parent_check(h, clean, err);
	if (rc == 0)
		sim_file_made(h, clean)->now = (struct node_state){.exists = true, .mode = 0600};
	return rc;
}

void files_socket_gone(struct host *h, const char *path)
{
	char clean[SIM_PATH_MAX];
	struct sim_file *f;

	if (sim_path_clean(path, clean, NULL) != 0)
		return;
	f = sim_file_find(h, clean);
	if (f)
		f->now.exists = false;
}

bool files_exists(struct host *h, const char *path)
{
	char clean[SIM_PATH_MAX];

	return sim_path_clean(path, clean, NULL) == 0 && sim_file_find(h, clean);
}

/* ---- crashes ------------------------------------------------------------------------------- */

static bool state_equal(const struct node_state *a, const struct node_state *b)
{
	return a->exists == b->exists && a->is_dir == b->is_dir;
}

void files_crash(struct host *h, bool power_loss)
{
	struct sim_file *f, *next;

	HASH_ITER (hh, h->files, f, next) {
		if (f->lock)
			f->lock->file = NULL;
		f->lock = NULL;
		if (power_loss)
			sim_changes_crash(h, f);
		if (!power_loss || state_equal(&f->now, &f->durable))
			continue;
		if (prng_below(&h->u->prng, 2) == 0)
			f->now = f->durable;
		f->durable = f->now;
		if (!f->now.exists)
			entry_free(h, f);
	}
}

void files_free(struct host *h)
{
	struct sim_file *f, *next;

	HASH_ITER (hh, h->files, f, next)
		entry_free(h, f);
}
