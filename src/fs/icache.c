/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * icache: the inode table in memory.
 *
 * An inode is here while somebody has a reference, and afterwards as long as the LRU of
 * unreferenced ones has room. One with something unsaved is on the dirty list, which holds a
 * reference: so what the LRU gives up is always equal to its record.
 *
 * Who misses puts an empty inode into the table with its lock held, and reads the record; others
 * who want the same inode find it and wait for that lock. fs->icache_lock is never held across a
 * read.
 *
 * A gone inode stays in the table as long as it has references, and keeps others from loading a
 * record that is being removed; the reaper holds one until the record has been deleted.
 */
#include "fs/internal.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_S 1000000000

int64_t fs_now_ns(struct fs *fs)
{
	return fs->clock->real_ns(fs->clock);
}

static bool is_loaded(const struct inode *i)
{
	return __atomic_load_n(&i->loaded, __ATOMIC_ACQUIRE);
}

static bool is_gone(const struct inode *i)
{
	return __atomic_load_n(&i->gone, __ATOMIC_ACQUIRE);
}

static void set_loaded(struct inode *i)
{
	__atomic_store_n(&i->loaded, true, __ATOMIC_RELEASE);
}

void inode_set_gone(struct inode *i)
{
	__atomic_store_n(&i->gone, true, __ATOMIC_RELEASE);
}

static struct inode *inode_new(uint64_t ino)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->ino = ino;
	i->refs = 1;
	pthread_mutex_init(&i->lock, NULL);
	cond_init(&i->changed);
	return i;
}

static void inode_free(struct inode *i)
{
	buf_release(&i->attr.target);
	pthread_cond_destroy(&i->changed);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

/* ---- with icache_lock held ---- */

static struct inode *find(struct fs *fs, uint64_t ino)
{
	struct inode *i;

	HASH_FIND(hh, fs->icache, &ino, sizeof(ino), i);
	return i;
}

static void table_add(struct fs *fs, struct inode *i)
{
	HASH_ADD(hh, fs->icache, ino, sizeof(i->ino), i);
	i->in_table = true;
}

static void table_remove(struct fs *fs, struct inode *i)
{
	if (!i->in_table)
		return;
	HASH_DEL(fs->icache, i);
	i->in_table = false;
}

static void take_ref(struct fs *fs, struct inode *i)
{
	if (i->refs++ > 0)
		return;
	DL_DELETE(fs->icache_lru, i);
	fs->icache_unused--;
}

/* The oldest unreferenced inode beyond the limit, taken out of the table; NULL if there is none. */
static struct inode *take_surplus(struct fs *fs)
{
	struct inode *oldest = fs->icache_lru;

	if (fs->icache_unused <= fs->icache_max_unused)
		return NULL;
	DL_DELETE(fs->icache_lru, oldest);
	fs->icache_unused--;
	table_remove(fs, oldest);
	return oldest;
}

/* ---- getting and putting ---- */

static int load(struct fs *fs, struct inode *i)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;
	int err;

	key_inode(&k, i->ino);
	err = db_value(fs, &k, &value);
	if (err >= 0)
		err = inode_decode(value.data, value.len, i->ino, &i->attr);
	if (err == -ENOENT)
		inode_set_gone(i);
	if (err < 0)
		return err;
	i->stored_size = i->attr.size;
	i->type = i->attr.mode & S_IFMT;
	set_loaded(i);
	return 0;
}

/* The inode of that number, referenced. A new one comes locked, and *ret_locked says so. */
static struct inode *find_or_add(struct fs *fs, uint64_t ino, bool *ret_locked)
{
	struct inode *i, *fresh;

	*ret_locked = false;
	pthread_mutex_lock(&fs->icache_lock);
	i = find(fs, ino);
	if (i)
		take_ref(fs, i);
	pthread_mutex_unlock(&fs->icache_lock);
	if (i)
		return i;
	fresh = inode_new(ino);
	if (!fresh)
		return NULL;
	pthread_mutex_lock(&fresh->lock);
	pthread_mutex_lock(&fs->icache_lock);
	i = find(fs, ino);
	if (i) {
		take_ref(fs, i);
	} else {
		table_add(fs, fresh);
		*ret_locked = true;
	}
	pthread_mutex_unlock(&fs->icache_lock);
	if (*ret_locked)
		return fresh;
	pthread_mutex_unlock(&fresh->lock);
	inode_free(fresh);
	return i;
}

int inode_get(struct fs *fs, uint64_t ino, struct inode **ret)
{
	bool locked;
	struct inode *i = find_or_add(fs, ino, &locked);
	int err = 0;

	if (!i)
		return -ENOMEM;
	if (!is_loaded(i)) {
		if (!locked)
			pthread_mutex_lock(&i->lock);
		if (!i->loaded && !i->gone)
			err = load(fs, i); /* also after somebody else's attempt failed */
		pthread_mutex_unlock(&i->lock);
	}
	if (err >= 0 && is_gone(i))
		err = -ENOENT;
	if (err < 0) {
		inode_put(fs, i);
		return err;
	}
	*ret = i;
	return 0;
}

int inode_make(struct fs *fs, uint64_t ino, const struct attr *attr, struct inode **ret)
{
	struct inode *i = inode_new(ino), *ghost;

	if (!i)
		return -ENOMEM;
	i->attr = *attr;
	i->attr.target = (struct buf)BUF_INIT;
	buf_add(&i->attr.target, attr->target.data, attr->target.len);
	if (buf_error(&i->attr.target) < 0) {
		inode_free(i);
		return -ENOMEM;
	}
	i->stored_size = attr->size;
	i->type = attr->mode & S_IFMT;
	set_loaded(i);
	pthread_mutex_lock(&fs->icache_lock);
	ghost = find(fs, ino); /* somebody asked for a number that did not exist yet */
	if (ghost)
		table_remove(fs, ghost);
	table_add(fs, i);
	pthread_mutex_unlock(&fs->icache_lock);
	*ret = i;
	return 0;
}

struct inode *inode_ref(struct fs *fs, struct inode *i)
{
	pthread_mutex_lock(&fs->icache_lock);
	take_ref(fs, i);
	pthread_mutex_unlock(&fs->icache_lock);
	return i;
}

void inode_put(struct fs *fs, struct inode *i)
{
	struct inode *dead = NULL;

	if (!i)
		return;
	pthread_mutex_lock(&fs->icache_lock);
	if (--i->refs == 0) {
		if (!i->in_table || !is_loaded(i) || is_gone(i)) {
			table_remove(fs, i);
			dead = i;
		} else {
			DL_APPEND(fs->icache_lru, i);
			fs->icache_unused++;
			dead = take_surplus(fs);
		}
	}
	pthread_mutex_unlock(&fs->icache_lock);
	if (dead)
		inode_free(dead);
}

void inode_discard(struct fs *fs, struct inode *i)
{
	pthread_mutex_lock(&fs->icache_lock);
	table_remove(fs, i);
	if (i->refs == 0) {
		DL_DELETE(fs->icache_lru, i);
		fs->icache_unused--;
	}
	pthread_mutex_unlock(&fs->icache_lock);
	dirty_drop(fs, i);
	inode_free(i);
}

/* ---- locking, looking ---- */

int inode_lock_live(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	if (!i->gone)
		return 0;
	pthread_mutex_unlock(&i->lock);
	return -ENOENT;
}

void inode_lock_two(struct inode *a, struct inode *b)
{
	if (a && b && b->ino < a->ino) {
		struct inode *swap = a;

		a = b;
		b = swap;
	}
	if (a)
		pthread_mutex_lock(&a->lock);
	if (b && b != a)
		pthread_mutex_lock(&b->lock);
}

void inode_unlock_two(struct inode *a, struct inode *b)
{
	if (a)
		pthread_mutex_unlock(&a->lock);
	if (b && b != a)
		pthread_mutex_unlock(&b->lock);
}

static struct timespec to_timespec(int64_t ns)
{
	int64_t rest = ns % NS_PER_S;

	if (rest < 0)
		rest += NS_PER_S;
	return (struct timespec){ .tv_sec = (ns - rest) / NS_PER_S, .tv_nsec = rest };
}

/* As it will be once all has entered and been trimmed: for what overwrites something, at most. */
static uint64_t allocated(const struct inode *i)
{
	uint64_t bytes = i->attr.alloc_bytes + inode_unsaved_bytes(i);

	return i->attr.flags & INODE_PREALLOC ? bytes : min_u64(bytes, i->attr.size);
}

/* The same inode number may be given again after a crash, if what had it was never durable. Who kept a handle of that
 * (NFS, open_by_handle_at) must not get the new one for it: so the time of birth is in it. 32 bits are what the
 * kernel keeps; 0 would mean any. */
static uint64_t generation(const struct attr *a)
{
	uint64_t mixed = (uint64_t)a->btime_ns * 0x9e3779b97f4a7c15ull;

	return mixed >> 32 | 1;
}

void inode_to_attr(const struct inode *i, struct fs_attr *ret)
{
	const struct attr *a = &i->attr;

	*ret = (struct fs_attr){
		.ino = i->ino,
		.mode = a->mode,
		.uid = a->uid,
		.gid = a->gid,
		.nlink = a->nlink,
		.rdev = a->rdev,
		.size = S_ISDIR(a->mode) ? a->entries * DIR_BYTES_PER_ENTRY : a->size,
		.blocks = (allocated(i) + 511) / 512,
		.atime = to_timespec(a->atime_ns),
		.mtime = to_timespec(a->mtime_ns),
		.ctime = to_timespec(a->ctime_ns),
		.btime = to_timespec(a->btime_ns),
		.generation = generation(a),
	};
}
