/* SQLite's operating system in a world that has files of its own: the simulation. In the real world
 * SQLite uses the system itself.
 *
 * Locks and the WAL's index are shared by the connections of this process only: a node locks its
 * data folder. SPEC sqlite: "The SQLite OS Interface or VFS", "WAL-mode File Format". */
#include "store/store_priv.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define REGIONS_MAX 64 /* of the WAL's index: 32 KiB each, for 4,096 pages of the log */

/* What the connections to one database share. */
struct shared_db {
	struct shared_db *next;
	char *path;
	unsigned refs;
	unsigned n_shared;  /* connections with at least SQLITE_LOCK_SHARED */
	const void *writer; /* the one with RESERVED or more */
	bool exclusive;     /* the writer has PENDING or EXCLUSIVE */
	void *regions[REGIONS_MAX];
	unsigned shm_shared[SQLITE_SHM_NLOCK];
	const void *shm_exclusive[SQLITE_SHM_NLOCK];
};

struct sqlite_vfs {
	sqlite3_vfs base; /* first */
	struct world *world;
	char name[32];
	unsigned refs;
	struct shared_db *dbs;
};

struct vfs_file {
	sqlite3_file base; /* first */
	struct sqlite_vfs *vfs;
	struct disk_file *disk;
	struct shared_db *db; /* of a database; NULL for its log */
	char *remove;         /* when it is closed */
	bool new_log;         /* its name is not on the disk yet */
	int lock;
	bool shm_shared[SQLITE_SHM_NLOCK];
};

static struct vfs_file *of(sqlite3_file *f)
{
	return (struct vfs_file *)f;
}

static struct world *world_of(sqlite3_vfs *v)
{
	return ((struct sqlite_vfs *)v)->world;
}

static const struct disk_ops *ops_of(const struct vfs_file *f)
{
	return world_disk(f->vfs->world);
}

/* ---- bytes --------------------------------------------------------------------------------- */

static int file_read_at(sqlite3_file *base, void *buf, int n, sqlite3_int64 at)
{
	struct vfs_file *f = of(base);
	ssize_t got = ops_of(f)->read(f->disk, buf, (size_t)n, (uint64_t)at);

	if (got < 0)
		return SQLITE_IOERR_READ;
	if (got == n)
		return SQLITE_OK;
	memset((char *)buf + got, 0, (size_t)(n - got));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write_at(sqlite3_file *base, const void *buf, int n, sqlite3_int64 at)
{
	struct vfs_file *f = of(base);
	int rc = ops_of(f)->write(f->disk, buf, (size_t)n, (uint64_t)at);

	return rc == 0 ? SQLITE_OK : rc == E_TOO_LARGE ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct vfs_file *f = of(base);

	return ops_of(f)->truncate(f->disk, (uint64_t)size) == 0 ? SQLITE_OK
								 : SQLITE_IOERR_TRUNCATE;
}

static int file_sync(sqlite3_file *base, int flags)
{
	struct vfs_file *f = of(base);

	(void)flags;
	if (ops_of(f)->sync(f->disk, f->new_log) != 0)
		return SQLITE_IOERR_FSYNC;
	f->new_log = false;
	return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
	struct vfs_file *f = of(base);

	*out = ops_of(f)->size(f->disk);
	return *out < 0 ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

/* ---- locks of a database ------------------------------------------------------------------- */

static int file_lock_raise(sqlite3_file *base, int wanted)
{
	struct vfs_file *f = of(base);
	struct shared_db *db = f->db;
	bool others;

	if (!db || f->lock >= wanted)
		return SQLITE_OK;
	if (f->lock == SQLITE_LOCK_NONE) {
		if (db->exclusive)
			return SQLITE_BUSY;
		db->n_shared++;
		f->lock = SQLITE_LOCK_SHARED;
	}
	if (wanted == SQLITE_LOCK_SHARED)
		return SQLITE_OK;
	if (db->writer && db->writer != f)
		return SQLITE_BUSY;
	db->writer = f;
	f->lock = SQLITE_LOCK_RESERVED;
	if (wanted == SQLITE_LOCK_RESERVED)
		return SQLITE_OK;
	others = db->n_shared > 1;
	db->exclusive = true; /* pending: nobody comes any more */
	f->lock = others ? SQLITE_LOCK_PENDING : SQLITE_LOCK_EXCLUSIVE;
	return others ? SQLITE_BUSY : SQLITE_OK;
}

static int file_lock_lower(sqlite3_file *base, int wanted)
{
	struct vfs_file *f = of(base);
	struct shared_db *db = f->db;

	if (!db || f->lock <= wanted)
		return SQLITE_OK;
	if (db->writer == f) {
		db->writer = NULL;
		db->exclusive = false;
	}
	if (wanted == SQLITE_LOCK_NONE)
		db->n_shared--;
	f->lock = wanted;
	return SQLITE_OK;
}

static int file_lock_reserved(sqlite3_file *base, int *out)
{
	*out = of(base)->db && of(base)->db->writer;
	return SQLITE_OK;
}

/* ---- the WAL's index ----------------------------------------------------------------------- */

static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
	struct shared_db *db = of(base)->db;

	if (region >= REGIONS_MAX)
		return SQLITE_IOERR_SHMSIZE;
	if (!db->regions[region] && extend)
		db->regions[region] = calloc(1, (size_t)size);
	*out = db->regions[region];
	return *out || !extend ? SQLITE_OK : SQLITE_NOMEM;
}

static void shm_unlock(struct vfs_file *f, int i)
{
	if (f->shm_shared[i]) {
		f->db->shm_shared[i]--;
		f->shm_shared[i] = false;
	}
	if (f->db->shm_exclusive[i] == f)
		f->db->shm_exclusive[i] = NULL;
}

static bool shm_free(const struct vfs_file *f, int i, bool exclusive)
{
	const struct shared_db *db = f->db;
	unsigned others = db->shm_shared[i] - (f->shm_shared[i] ? 1 : 0);

	return (!db->shm_exclusive[i] || db->shm_exclusive[i] == f) && (!exclusive || others == 0);
}

static int shm_lock(sqlite3_file *base, int from, int n, int flags)
{
	struct vfs_file *f = of(base);
	bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;

	for (int i = from; i < from + n; i++)
		if (flags & SQLITE_SHM_LOCK && !shm_free(f, i, exclusive))
			return SQLITE_BUSY;
	for (int i = from; i < from + n; i++) {
		if (flags & SQLITE_SHM_UNLOCK) {
			shm_unlock(f, i);
		} else if (exclusive) {
			f->db->shm_exclusive[i] = f;
		} else if (!f->shm_shared[i]) {
			f->shm_shared[i] = true;
			f->db->shm_shared[i]++;
		}
	}
	return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
	(void)base; /* one thread */
}

static void regions_free(struct shared_db *db)
{
	for (int i = 0; i < REGIONS_MAX; i++) {
		free(db->regions[i]);
		db->regions[i] = NULL;
	}
}

static int shm_unmap(sqlite3_file *base, int delete)
{
	struct vfs_file *f = of(base);

	for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
		shm_unlock(f, i);
	if (delete)
		regions_free(f->db);
	return SQLITE_OK;
}

/* ---- files --------------------------------------------------------------------------------- */

static struct shared_db *db_hold(struct sqlite_vfs *v, const char *path)
{
	struct shared_db *db;

	for (db = v->dbs; db; db = db->next)
		if (strcmp(db->path, path) == 0) {
			db->refs++;
			return db;
		}
	db = calloc(1, sizeof(*db));
	if (db && !(db->path = strdup(path))) {
		free(db);
		return NULL;
	}
	if (db) {
		db->refs = 1;
		db->next = v->dbs;
		v->dbs = db;
	}
	return db;
}

static void db_release(struct sqlite_vfs *v, struct shared_db *db)
{
	struct shared_db **at = &v->dbs;

	if (!db || --db->refs > 0)
		return;
	while (*at != db)
		at = &(*at)->next;
	*at = db->next;
	regions_free(db);
	free(db->path);
	free(db);
}

static int file_close(sqlite3_file *base)
{
	struct vfs_file *f = of(base);

	if (f->db) {
		shm_unmap(base, 0);
		file_lock_lower(base, SQLITE_LOCK_NONE);
		db_release(f->vfs, f->db);
	}
	ops_of(f)->close(f->disk);
	if (f->remove)
		ops_of(f)->remove(f->vfs->world, f->remove);
	free(f->remove);
	return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
	(void)base;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base)
{
	(void)base;
	return 4096;
}

static int file_traits(sqlite3_file *base)
{
	(void)base;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read_at,
    .xWrite = file_write_at,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock_raise,
    .xUnlock = file_lock_lower,
    .xCheckReservedLock = file_lock_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* Temporary files, which have no name, are kept in memory (PRAGMA temp_store). */
static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *out, int flags, int *got)
{
	struct sqlite_vfs *v = (struct sqlite_vfs *)base;
	struct vfs_file *f = of(out);
	const struct disk_ops *ops = world_disk(v->world);
	bool is_new;

	*f = (struct vfs_file){.vfs = v};
	if (!path)
		return SQLITE_CANTOPEN;
	is_new = !ops->exists(v->world, path);
	if (ops->open(v->world, path, flags & SQLITE_OPEN_CREATE, &f->disk) != 0)
		return SQLITE_CANTOPEN;
	f->new_log = is_new && !(flags & SQLITE_OPEN_MAIN_DB);
	f->db = flags & SQLITE_OPEN_MAIN_DB ? db_hold(v, path) : NULL;
	f->remove = flags & SQLITE_OPEN_DELETEONCLOSE ? strdup(path) : NULL;
	f->base.pMethods = &file_methods;
	if (got)
		*got = flags;
	return f->db || !(flags & SQLITE_OPEN_MAIN_DB) ? SQLITE_OK : SQLITE_NOMEM;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_folder)
{
	(void)sync_folder; /* a log that comes back is recognised by its salts */
	int rc = world_disk(world_of(base))->remove(world_of(base), path);

	return rc == 0             ? SQLITE_OK
	       : rc == E_NOT_FOUND ? SQLITE_IOERR_DELETE_NOENT
				   : SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *out)
{
	(void)flags;
	*out = world_disk(world_of(base))->exists(world_of(base), path);
	return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int cap, char *out)
{
	(void)base;
	if (strlen(path) >= (size_t)cap)
		return SQLITE_CANTOPEN;
	memcpy(out, path, strlen(path) + 1);
	return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *base, int n, char *out)
{
	world_random(world_of(base), out, (size_t)n);
	return n;
}

static int vfs_sleep(sqlite3_vfs *base, int us)
{
	(void)base;
	return us; /* who is waited for has no turn before this work ends */
}

/* SPEC sqlite: milliseconds since the Julian epoch. */
static int vfs_time(sqlite3_vfs *base, sqlite3_int64 *out)
{
	*out = INT64_C(210866760000000) + world_wall_ms(world_of(base));
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int n, char *out)
{
	(void)base;
	(void)n;
	(void)out;
	return 0;
}

struct sqlite_vfs *sqlite_vfs_hold(struct world *w)
{
	char name[32];
	struct sqlite_vfs *v;

	snprintf(name, sizeof(name), "world-%p", (void *)w);
	v = (struct sqlite_vfs *)sqlite3_vfs_find(name);
	if (v) {
		v->refs++;
		return v;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->world = w;
	v->refs = 1;
	memcpy(v->name, name, sizeof(name));
	v->base = (sqlite3_vfs){
	    .iVersion = 2,
	    .szOsFile = sizeof(struct vfs_file),
	    .mxPathname = 1024,
	    .zName = v->name,
	    .xOpen = vfs_open,
	    .xDelete = vfs_delete,
	    .xAccess = vfs_access,
	    .xFullPathname = vfs_full_path,
	    .xRandomness = vfs_randomness,
	    .xSleep = vfs_sleep,
	    .xGetLastError = vfs_last_error,
	    .xCurrentTimeInt64 = vfs_time,
	};
	if (sqlite3_vfs_register(&v->base, 0) != SQLITE_OK) {
		free(v);
		return NULL;
	}
	return v;
}

const char *sqlite_vfs_name(const struct sqlite_vfs *v)
{
	return v->name;
}

void sqlite_vfs_release(struct sqlite_vfs *v)
{
	if (!v || --v->refs > 0)
		return;
	INVARIANT(!v->dbs);
	sqlite3_vfs_unregister(&v->base);
	free(v);
}
