/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The directory as LevelDB sees it, and cutting it for the chain.
 */
#include "db/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct env_seq {
	struct vfile *file;
	struct rope_cursor at;
};

struct env_write {
	struct env *env;
	struct vfile *file;
	bool finished;
	char name[FILE_NAME_LIMIT];
};

static __thread int thread_error;

void db_env_set_thread_error(int err)
{
	thread_error = err;
}

int db_env_take_thread_error(void)
{
	int err = thread_error;

	thread_error = 0;
	return err;
}

enum db_env_kind db_env_kind(int err)
{
	switch (err) {
	case 0:
		return ENV_OK;
	case -ENOENT:
		return ENV_NOT_FOUND;
	case -L3_CORRUPT:
		return ENV_CORRUPT;
	case -EOPNOTSUPP:
		return ENV_NOT_SUPPORTED;
	default:
		return ENV_IO;
	}
}

const char *db_env_text(void)
{
	return err_last_note();
}

/* ---- names ---- */

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && strcmp(name + n - s, suffix) == 0;
}

bool db_name_is_log(const char *name)
{
	return has_suffix(name, ".log");
}

/* "000007.ldb" (or .sst, as old versions called them) */
static bool name_is_table(const char *name, uint64_t *ret_number)
{
	char digits[FILE_NAME_LIMIT];

	if (!has_suffix(name, ".ldb") && !has_suffix(name, ".sst"))
		return false;
	snprintf(digits, sizeof(digits), "%.*s", (int)(strlen(name) - 4), name);
	return parse_u64(digits, ret_number) == 0;
}

static int base_name(const char *path, char out[FILE_NAME_LIMIT])
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (!db_name_fits(name, strlen(name)))
		return err_note(-EINVAL, "LevelDB uses a strange file name: %s", path);
	memcpy(out, name, strlen(name) + 1);
	return 0;
}

/* ---- failure ---- */

/* env.lock held */
static void fail_locked(struct env *e, int err)
{
	if (e->failed)
		return;
	__atomic_store_n(&e->failed, err, __ATOMIC_RELEASE); /* db_failed looks without the lock */
	snprintf(e->failed_note, sizeof(e->failed_note), "%s", err_last_note());
	pthread_cond_broadcast(&e->changed);
}

/* env.lock held */
static int failed_locked(const struct env *e)
{
	return e->failed ? err_note(e->failed, "%s", e->failed_note) : 0;
}

void db_env_fail(struct env *e, int err)
{
	pthread_mutex_lock(&e->lock);
	fail_locked(e, err);
	pthread_mutex_unlock(&e->lock);
}

int db_env_failed(struct env *e)
{
	int err;

	pthread_mutex_lock(&e->lock);
	err = failed_locked(e);
	pthread_mutex_unlock(&e->lock);
	return err;
}

/* ---- the ordered queue (env.lock held) ---- */

/* A change that cannot be recorded must not be survived: the chain would tell another story. */
static int queue_add(struct env *e, enum rec_type type, const char *name, struct vfile *file,
		     struct rec **ret)
{
	struct rec *r = NULL;
	int err;

	if (!e->config.writable)
		return 0;
	err = db_rec_new(type, name, file, &r);
	if (err) {
		fail_locked(e, err);
		return err;
	}
	*e->queue_end = r;
	e->queue_end = &r->next;
	e->queue_last = r;
	if (ret)
		*ret = r;
	return 0;
}

static int queue_append(struct env *e, const char *name, struct vfile *f, uint64_t upto)
{
	struct rec *r = e->queue_last;
	int err = 0;

	if (!e->config.writable)
		return 0;
	if (!r || r->type != REC_APPEND || r->file != f) {
		r = NULL;
		err = queue_add(e, REC_APPEND, name, f, &r);
		if (err)
			return err;
		r->from = f->cut;
	}
	r->upto = upto;
	f->cut = upto;
	return 0;
}

/* Is a removal of this name still on its way to the chain? */
static bool removal_queued(const struct env *e, const char *name)
{
	for (const struct rec *r = e->queue; r; r = r->next)
		if (r->type == REC_REMOVE && strcmp(r->name, name) == 0)
			return true;
	return false;
}

/* ---- writing ---- */

static int write_new(struct env *e, const char *name, struct env_write **ret)
{
	struct env_write *w = calloc(1, sizeof(*w));
	uint64_t number;
	int err;

	if (!w)
		return err_note(-ENOMEM, "no memory to write %s", name);
	w->env = e;
	snprintf(w->name, sizeof(w->name), "%s", name);
	if (name_is_table(name, &number)) {
		err = db_vfile_new_table(number, e->config.epoch, &w->file);
		if (!err)
			err = db_blob_new(&w->file->table->blob);
	} else {
		err = db_vfile_new(&w->file);
	}
	if (err) {
		db_env_write_close(w);
		return err;
	}
	*ret = w;
	return 0;
}

/* env.lock held. A log comes to be with its first bytes in a cut, unless its name was used before
 * and the chain has yet to hear of that: then it waits its turn like all else. */
static int enter_bytes(struct env *e, struct env_write *w)
{
	struct vfile *f = w->file;
	int err = failed_locked(e);

	if (err)
		return err;
	f->is_log = db_name_is_log(w->name) && !db_names_find(&e->live, w->name) &&
		    !removal_queued(e, w->name);
	snprintf(f->name, sizeof(f->name), "%s", w->name);
	err = db_names_set(&e->live, w->name, f, 0);
	if (err || f->is_log)
		return err;
	f->created = true;
	return queue_add(e, REC_CREATE, w->name, f, NULL);
}

int db_env_write_open(struct env *e, const char *path, struct env_write **ret)
{
	char name[FILE_NAME_LIMIT];
	struct env_write *w = NULL;
	bool pressed;
	int err = base_name(path, name);

	if (!err)
		err = write_new(e, name, &w);
	if (err)
		return err;
	pthread_mutex_lock(&e->lock);
	err = w->file->table ? failed_locked(e) : enter_bytes(e, w);
	pressed = e->uncut_bytes > ENV_UNCUT_LIMIT;
	pthread_mutex_unlock(&e->lock);
	if (pressed && e->config.on_pressure)
		e->config.on_pressure(e->config.ctx);
	if (err) {
		db_env_write_close(w);
		return err;
	}
	*ret = w;
	return 0;
}

int db_env_write_append(struct env_write *w, const char *data, size_t len)
{
	struct table *t = w->file->table;
	int err;

	if (w->finished)
		return err_note(-EINVAL, "%s is written to after its end", w->name);
	if (t) {
		buf_add(&t->blob->bytes, data, len);
		err = buf_error(&t->blob->bytes);
		return err ? err_note(err, "no memory for %s", t->key) : 0;
	}
	err = db_rope_append(&w->file->rope, data, len);
	if (err) /* half a record may be there: nothing may follow it */
		db_env_fail(w->env, err);
	return err;
}

/* env.lock held */
static int publish_bytes(struct env *e, const char *name, struct vfile *f)
{
	uint64_t before = db_vfile_published(f), len = f->rope.len;
	int err = failed_locked(e);

	if (err || len == before)
		return err;
	db_vfile_publish(f, len);
	if (!e->config.writable)
		return 0;
	if (!f->is_log)
		return queue_append(e, name, f, len);
	e->uncut_bytes += len - before;
	if (!f->dirty) {
		f->dirty = true;
		db_vfile_get(f);
		DL_APPEND(e->dirty, f);
	}
	return 0;
}

int db_env_write_flush(struct env_write *w)
{
	struct env *e = w->env;
	int err = 0;

	if (w->file->table)
		return 0;
	pthread_mutex_lock(&e->lock);
	err = publish_bytes(e, w->name, w->file);
	pthread_mutex_unlock(&e->lock);
	return err;
}

int db_env_write_finish(struct env_write *w)
{
	struct table *t = w->file->table;
	int err;

	if (!t)
		return db_env_write_flush(w);
	if (w->finished)
		return 0;
	err = db_table_measure(t, &t->blob->bytes);
	if (!err)
		err = db_env_publish_table(w->env, w->name, w->file);
	w->finished = !err;
	return err;
}

void db_env_write_close(struct env_write *w)
{
	if (!w)
		return;
	db_vfile_put(w->file);
	free(w);
}

int db_env_publish_table(struct env *e, const char *name, struct vfile *f)
{
	struct table *t = f->table;
	int err;

	pthread_mutex_lock(&e->lock);
	err = failed_locked(e);
	if (!err)
		err = db_names_set(&e->live, name, f, t->size);
	if (!err)
		err = queue_add(e, REC_TABLE, name, f, NULL);
	if (!err && e->config.writable) {
		e->upload_bytes += t->size;
		t->made = ++e->tables_made;
		err = db_table_upload_submit(e, db_vfile_get(f));
		if (err)
			fail_locked(e, err);
		/* Memory is bounded here: on the thread that makes tables, with no lock of
		 * LevelDB's. */
		while (!err && e->upload_bytes > ENV_UPLOAD_LIMIT && !e->failed && !e->closing)
			pthread_cond_wait(&e->changed, &e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	return err;
}

/* ---- reading ---- */

/* A reference to the file behind a path. */
static int find_file(struct env *e, const char *path, struct vfile **ret)
{
	char name[FILE_NAME_LIMIT];
	struct entry *entry;
	int err = base_name(path, name);

	if (err)
		return err;
	pthread_mutex_lock(&e->lock);
	entry = db_names_find(&e->live, name);
	if (entry)
		*ret = db_vfile_get(entry->file);
	pthread_mutex_unlock(&e->lock);
	return entry ? 0 : err_note(-ENOENT, "no file %s", name);
}

int db_env_seq_open(struct env *e, const char *path, struct env_seq **ret)
{
	struct vfile *f = NULL;
	struct env_seq *s;
	int err = find_file(e, path, &f);

	if (err)
		return err;
	s = f->table ? NULL : calloc(1, sizeof(*s));
	if (!s) {
		err = f->table ? -EOPNOTSUPP : -ENOMEM;
		db_vfile_put(f);
		return err_note(err, "%s cannot be read in sequence", path);
	}
	s->file = f;
	*ret = s;
	return 0;
}

int db_env_seq_read(struct env_seq *s, size_t n, char *scratch, size_t *ret_len)
{
	uint64_t end = min_u64(db_vfile_published(s->file), s->at.pos + n);
	size_t done = 0, piece;
	const uint8_t *data;

	while ((piece = db_rope_next(&s->file->rope, &s->at, end, &data)) > 0) {
		memcpy(scratch + done, data, piece);
		done += piece;
	}
	*ret_len = done;
	return 0;
}

void db_env_seq_skip(struct env_seq *s, uint64_t n)
{
	uint64_t end = db_vfile_published(s->file);

	db_rope_seek(&s->file->rope, &s->at, min_u64(end, s->at.pos + n));
}

void db_env_seq_close(struct env_seq *s)
{
	db_vfile_put(s->file);
	free(s);
}

struct env_rand {
	struct env *env;
	struct vfile *file;
};

int db_env_rand_open(struct env *e, const char *path, struct env_rand **ret)
{
	struct vfile *f = NULL;
	struct env_rand *r;
	int err = find_file(e, path, &f);

	if (err)
		return err;
	r = f->table ? calloc(1, sizeof(*r)) : NULL;
	if (!r) {
		err = f->table ? -ENOMEM : -EOPNOTSUPP;
		db_vfile_put(f);
		return err_note(err, "%s cannot be read at random", path);
	}
	r->env = e;
	r->file = f;
	*ret = r;
	return 0;
}

int db_env_rand_read(struct env_rand *r, uint64_t offset, size_t n, char *scratch, size_t *ret_len)
{
	uint64_t size = r->file->table->size;
	size_t len = offset < size ? min_u64(n, size - offset) : 0;
	int err = db_table_read(r->env, r->file, offset, len, (uint8_t *)scratch);

	*ret_len = err ? 0 : len;
	if (err)
		db_env_set_thread_error(err);
	return err;
}

void db_env_rand_close(struct env_rand *r)
{
	db_vfile_put(r->file);
	free(r);
}

/* ---- the directory ---- */

bool db_env_exists(struct env *e, const char *path)
{
	struct vfile *f = NULL;

	if (find_file(e, path, &f) != 0)
		return false;
	db_vfile_put(f);
	return true;
}

int db_env_size(struct env *e, const char *path, uint64_t *ret)
{
	struct vfile *f = NULL;
	int err = find_file(e, path, &f);

	if (err)
		return err;
	*ret = f->table ? f->table->size : db_vfile_published(f);
	db_vfile_put(f);
	return 0;
}

int db_env_children(struct env *e, void (*each)(void *ctx, const char *name), void *ctx)
{
	struct entry *entry, *tmp;

	pthread_mutex_lock(&e->lock);
	names_each(&e->live, entry, tmp) each(ctx, entry->name);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

int db_env_remove(struct env *e, const char *path)
{
	char name[FILE_NAME_LIMIT];
	struct entry *entry;
	int err = base_name(path, name);

	if (err)
		return err;
	pthread_mutex_lock(&e->lock);
	err = failed_locked(e);
	entry = db_names_find(&e->live, name);
	if (!err && !entry)
		err = err_note(-ENOENT, "no file %s", name);
	if (!err)
		err = queue_add(e, REC_REMOVE, name, entry->file, NULL);
	if (!err)
		db_names_remove(&e->live, name);
	pthread_mutex_unlock(&e->lock);
	return err;
}

/* LevelDB's repair puts what it could not use, or has copied, into a folder of this name. */
static bool is_archive(const char *path)
{
	return strstr(path, "/lost/") != NULL;
}

int db_env_rename(struct env *e, const char *from_path, const char *to_path)
{
	char from[FILE_NAME_LIMIT], to[FILE_NAME_LIMIT];
	struct rec *r = NULL;
	int err = base_name(from_path, from);

	if (is_archive(to_path))
		return db_env_remove(e, from_path);
	if (!err)
		err = base_name(to_path, to);
	if (err)
		return err;
	pthread_mutex_lock(&e->lock);
	err = failed_locked(e);
	if (!err)
		err = db_names_rename(&e->live, from, to);
	if (!err)
		err = queue_add(e, REC_RENAME, from, NULL, &r);
	if (r)
		snprintf(r->to, sizeof(r->to), "%s", to);
	pthread_mutex_unlock(&e->lock);
	return err;
}

int db_env_lock(struct env *e)
{
	bool was;

	pthread_mutex_lock(&e->lock);
	was = e->locked;
	e->locked = true;
	pthread_mutex_unlock(&e->lock);
	return was ? err_note(-EBUSY, "the database is open already") : 0;
}

void db_env_unlock(struct env *e)
{
	pthread_mutex_lock(&e->lock);
	e->locked = false;
	pthread_mutex_unlock(&e->lock);
}

void db_env_log(struct env *e, const char *line)
{
	log_debug("leveldb: %s", line);
}
