/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file: open, close, write, fsync.
 *
 * A write waits for memory before it takes the inode's lock, never under it: who gives memory back
 * (packing, entering) needs that lock. What it waits for is the nominal size; dirty_write then
 * counts what the set really takes.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

#define MEMORY_WAIT_MS 1000

int file_may_write(struct fs *fs)
{
	int fenced = __atomic_load_n(&fs->fenced, __ATOMIC_SEQ_CST);

	if (fs->read_only)
		return -EROFS;
	return fenced < 0 ? fenced : db_failed(fs->db);
}

/* ---- open and close ---- */

/* Takes the reference and the count in inode.opens over. */
static int file_new(struct fs *fs, struct inode *i, bool for_writing, struct fs_file **ret)
{
	struct fs_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->fs = fs;
	f->refs = 1;
	f->inode = i;
	f->for_writing = for_writing;
	if (for_writing)
		__atomic_add_fetch(&i->writers, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_init(&f->lock, NULL);
	*ret = f;
	return 0;
}

/* One open less. Takes the reference. */
static void drop_open(struct fs *fs, struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	i->opens--;
	if (i->attr.nlink == 0)
		orphan_consider(fs, i, false);
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
}

/* O_TRUNC. Inode locked. */
static int empty(struct fs *fs, struct inode *i)
{
	int64_t mtime_ns = i->attr.mtime_ns, ctime_ns = i->attr.ctime_ns;
	int err;

	i->attr.mtime_ns = i->attr.ctime_ns = fs_now_ns(fs);
	err = file_truncate(fs, i, 0);
	if (err < 0) {
		i->attr.mtime_ns = mtime_ns;
		i->attr.ctime_ns = ctime_ns;
	}
	return err;
}

static int check_open(struct fs *fs, const struct inode *i, bool for_writing)
{
	if (i->type == S_IFDIR)
		return -EISDIR;
	if (i->type != S_IFREG)
		return -EINVAL;
	return for_writing ? file_may_write(fs) : 0;
}

int fs_file_open(struct fs *fs, uint64_t ino, bool for_writing, bool truncate, struct fs_file **ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = check_open(fs, i, for_writing || truncate);
	if (err >= 0)
		err = inode_lock_live(i);
	if (err < 0) {
		inode_put(fs, i);
		return err;
	}
	i->opens++;
	if (truncate)
		err = empty(fs, i);
	pthread_mutex_unlock(&i->lock);
	if (err >= 0)
		err = file_new(fs, i, for_writing, ret);
	if (err < 0)
		drop_open(fs, i);
	return err;
}

int fs_file_create(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
		   uint32_t mode, struct fs_file **ret, struct fs_attr *ret_attr)
{
	struct inode *i;
	int err = dir_create_open(fs, dir, name, cred, mode, &i, ret_attr);

	if (err < 0)
		return err;
	err = file_new(fs, i, true, ret);
	if (err < 0)
		drop_open(fs, i);
	return err;
}

struct fs_file *fs_file_ref(struct fs_file *f)
{
	__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void fs_file_close(struct fs_file *f)
{
	if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	read_window_drop(f);
	read_ahead_end(f);
	if (f->for_writing)
		__atomic_sub_fetch(&f->inode->writers, 1, __ATOMIC_SEQ_CST);
	drop_open(f->fs, f->inode);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void run_close(void *f)
{
	fs_file_close(f);
}

void fs_file_close_later(struct fs_file *f)
{
	unsigned refs = f ? __atomic_load_n(&f->refs, __ATOMIC_RELAXED) : 0;

	while (refs > 1)
		if (__atomic_compare_exchange_n(&f->refs, &refs, refs - 1, true, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return;
	if (f && pool_submit(f->fs->workers, run_close, f) < 0)
		fs_file_close(f);
}

void fs_file_noatime(struct fs_file *f, bool on)
{
	__atomic_store_n(&f->noatime, on, __ATOMIC_RELAXED);
}

uint64_t fs_file_ino(const struct fs_file *f)
{
	return f->inode->ino;
}

bool fs_file_has_writers(const struct fs_file *f)
{
	return __atomic_load_n(&f->inode->writers, __ATOMIC_SEQ_CST) > 0;
}

/* ---- writing ---- */

int file_take_memory(struct fs *fs, uint64_t bytes)
{
	int err = file_may_write(fs);

	while (err >= 0 && (err = budget_take(&fs->budget, bytes, MEMORY_WAIT_MS)) == -ETIMEDOUT)
		err = file_may_write(fs);
	return err;
}

/* Inode locked. */
static void written(struct fs *fs, struct inode *i, uint64_t end, bool kill_suid)
{
	i->attr.size = max_u64(i->attr.size, end);
	i->attr.mtime_ns = i->attr.ctime_ns = fs_now_ns(fs);
	if (kill_suid)
		i->attr.mode = mode_without_suid(i->attr.mode);
	if (i->dirty.since_ns == 0)
		i->dirty.since_ns = i->attr.mtime_ns;
	lag_note_bytes(i);
	inode_mark_dirty(fs, i);
	/* Without memory for that the set grows on; the tick tries again. */
	if (i->dirty.bytes >= FREEZE_BYTES && flush_freeze(fs, i) >= 0)
		flush_submit(fs, i);
}

struct piece { /* of a write */
	const void *buf;
	size_t len;
	uint64_t *offset; /* where it was written, if append */
	bool append, kill_suid;
};

/* Inode locked. `exactly`: see limit_admit. */
static ssize_t write_locked(struct fs *fs, struct inode *i, const struct piece *p, bool exactly)
{
	ssize_t done = 0;

	while (done >= 0 && (i->flushing > 0 || (i->attr.flags & INODE_SHIFTING))) {
		if (i->flushing > 0)
			pthread_cond_wait(&i->changed, &i->lock);
		else
			done = shift_finish(fs, i);
	}
	if (done < 0)
		return done;
	if (p->append)
		*p->offset = i->attr.size;
	if (*p->offset >= FS_FILE_SIZE_MAX)
		return -EFBIG;
	done = limit_admit(fs, i, *p->offset, min_u64(p->len, FS_FILE_SIZE_MAX - *p->offset),
			   exactly);
	if (done > 0) {
		done = dirty_write(fs, i, *p->offset, p->buf, (size_t)done);
		if (done > 0)
			written(fs, i, *p->offset + (uint64_t)done, p->kill_suid);
		limit_update(fs, i);
	}
	return done;
}

static ssize_t write_piece(struct fs_file *f, const struct piece *p)
{
	struct fs *fs = f->fs;
	struct inode *i = f->inode;
	unsigned tries = 0;
	ssize_t done = file_take_memory(fs, p->len);

	if (done < 0)
		return done;
	do {
		pthread_mutex_lock(&i->lock);
		done = write_locked(fs, i, p, tries > 0);
		pthread_mutex_unlock(&i->lock);
	} while (done == -ENOSPC && limit_squeeze(fs, &tries));
	budget_give(&fs->budget, p->len);
	return done;
}

static ssize_t write_pieces(struct fs_file *f, const uint8_t *bytes, size_t len, uint64_t offset,
			    bool append, bool kill_suid)
{
	size_t done = 0;

	if (!f->for_writing)
		return -EBADF;
	while (done < len) {
		size_t part = min_u64(len - done, FS_WRITE_WHOLE);
		struct piece p = { bytes + done, part, &offset, append && done == 0, kill_suid };
		ssize_t n = write_piece(f, &p);

		if (n < 0)
			return done > 0 ? (ssize_t)done : n;
		done += (size_t)n;
		offset += (uint64_t)n;
		if ((size_t)n < part)
			break;
	}
	return (ssize_t)done;
}

ssize_t fs_write(struct fs_file *f, const void *buf, size_t len, uint64_t offset, bool append,
		 bool kill_suid)
{
	ssize_t n = write_pieces(f, buf, len, offset, append, kill_suid);

	if (n > 0)
		__atomic_add_fetch(&f->fs->bytes_written, (uint64_t)n, __ATOMIC_RELAXED);
	return n;
}

/* ---- fsync ---- */

/* What the next cut has to hold of an inode. */
static int enter_inode(struct fs *fs, uint64_t ino)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	flush_warm(fs, i);
	pthread_mutex_lock(&i->lock);
	err = flush_inode(fs, i);
	flush_unlist(fs, i);
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	return err;
}

int fs_fsync(struct fs *fs, uint64_t ino)
{
	int err;

	if (fs->read_only)
		return 0;
	if (ino == FS_ROOT_INO)
		return fs_sync(fs);
	err = enter_inode(fs, ino);
	return err < 0 ? err : db_commit(fs->db);
}

void fs_fsync_then(struct fs *fs, uint64_t ino, void (*then)(void *arg, int err), void *arg)
{
	int err;

	if (fs->read_only || ino == FS_ROOT_INO) {
		then(arg, fs_fsync(fs, ino));
		return;
	}
	err = enter_inode(fs, ino);
	if (err < 0)
		then(arg, err);
	else
		db_commit_then(fs->db, then, arg);
}

/* ---- errors ---- */

bool error_is_final(int err)
{
	return err == -L3_FENCED || err == -L3_CORRUPT || err == -ECANCELED || err == -EROFS;
}

static void note_told(struct fs_file *f, int err)
{
	if (error_is_final(err))
		__atomic_store_n(&f->told, true, __ATOMIC_RELAXED);
}

int fs_file_fsync(struct fs_file *f)
{
	int err = fs_fsync(f->fs, f->inode->ino);

	note_told(f, err);
	return err;
}

struct file_fsync {
	struct fs_file *file;
	void (*then)(void *arg, int err);
	void *arg;
};

static void file_fsync_done(void *arg, int err)
{
	struct file_fsync s = *(struct file_fsync *)arg;

	free(arg);
	note_told(s.file, err);
	s.then(s.arg, err);
}

void fs_file_fsync_then(struct fs_file *f, void (*then)(void *arg, int err), void *arg)
{
	struct file_fsync *s = malloc(sizeof(*s));

	if (!s) {
		then(arg, fs_file_fsync(f));
		return;
	}
	*s = (struct file_fsync){ f, then, arg };
	fs_fsync_then(f->fs, f->inode->ino, file_fsync_done, s);
}

/* Something of the file is not in a durable cut. */
static bool is_unstored(struct fs *fs, struct inode *i)
{
	return !i->gone &&
	       (inode_has_dirty(i) || i->attr_dirty || !db_cut_is_durable(fs->db, i->cut));
}

int fs_file_flush(struct fs_file *f)
{
	struct fs *fs = f->fs;
	struct inode *i = f->inode;
	int err;
	bool concerned;

	if (!f->for_writing || fs->read_only)
		return 0;
	err = file_may_write(fs);
	pthread_mutex_lock(&i->lock);
	if (err >= 0)
		err = i->write_error;
	concerned = err < 0 && is_unstored(fs, i);
	pthread_mutex_unlock(&i->lock);
	if (!concerned || __atomic_exchange_n(&f->told, true, __ATOMIC_RELAXED))
		return 0;
	return err_note(err, "what was written to the file is not stored, and will not be");
}
