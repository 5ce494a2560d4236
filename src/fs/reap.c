/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reap: removing inodes, and ends of files, in batches of bounded size.
 *
 * Every batch leaves a sound filesystem: records, totals and live counts agree after each, and the
 * O record is there until the last. So a crash between two batches costs only the work left
 * (orphan.c). What a batch removes is gathered first, without locks; a gone inode has no other
 * writer.
 *
 * LevelDB steps over what was deleted, but not for free: so each batch goes on where the last one
 * ended instead of looking from the start again.
 */
#include "fs/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int reap_claim(struct fs *fs, uint64_t ino, struct reap_inode *ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);
	bool claimed = false;

	if (err < 0)
		return err;
	pthread_mutex_lock(&i->lock);
	if (i->attr.nlink == 0 && i->opens == 0 && !i->gone) {
		inode_set_gone(i);
		dirty_drop(fs, i);
		i->attr_dirty = false;
		claimed = true;
	}
	pthread_mutex_unlock(&i->lock);
	if (!claimed) {
		inode_put(fs, i);
		return 0;
	}
	*ret = (struct reap_inode){ .inode = i };
	return 1;
}

/* ---- gathering ---- */

struct spoils { /* what a batch takes away */
	struct key *keys;
	size_t key_count;
	struct {
		uint64_t segment, ino;
		uint64_t bytes;
	} * refs;
	size_t ref_count;
	uint64_t bytes;	 /* of the inode at hand */
	struct buf rest; /* the record of the last inode, if it is not finished: then all is full */
};

/* Every inode has at least its own record: so the bound is a soft one. */
static int spoils_init(struct spoils *s)
{
	*s = (struct spoils){ .keys = calloc(REAP_EXTENTS, sizeof(*s->keys)),
			      .refs = calloc(REAP_EXTENTS, sizeof(*s->refs)) };
	return s->keys && s->refs ? 0 : -ENOMEM;
}

static void spoils_release(struct spoils *s)
{
	free(s->keys);
	free(s->refs);
	buf_release(&s->rest);
}

static bool spoils_full(const struct spoils *s)
{
	return s->key_count == REAP_EXTENTS;
}

static void spoils_key(struct spoils *s, const char *key, size_t len)
{
	struct key *k = &s->keys[s->key_count++];

	k->len = len;
	memcpy(k->bytes, key, len);
}

static int spoils_extent(struct spoils *s, const char *key, const char *value, size_t len)
{
	struct extent e;
	int err = extent_decode(value, len, get_u64_be(key + 9), &e);

	if (err < 0)
		return err;
	if (e.kind == EXTENT_STORED) {
		s->refs[s->ref_count].segment = e.ref.segment;
		s->refs[s->ref_count].ino = get_u64_be(key + 1);
		s->refs[s->ref_count++].bytes = e.end - e.start;
	}
	s->bytes += e.end - e.start;
	spoils_key(s, key, KEY_ORDERED_BYTES);
	return 0;
}

static int iter_close(struct fs *fs, leveldb_iterator_t *it)
{
	char *msg = NULL;

	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(fs->db, msg) : 0;
}

/* 1: that was the last of them; 0: the batch is full. */
static int gather_extents(struct fs *fs, struct spoils *s, uint64_t ino, uint64_t *after)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_scan_options(fs->db));
	struct key from;
	int err = 0, more = 0, iter_err;

	key_extent(&from, ino, *after + 1);
	leveldb_iter_seek(it, (const char *)from.bytes, from.len);
	for (; err >= 0 && leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len != KEY_ORDERED_BYTES || memcmp(key, from.bytes, KEY_PREFIX_BYTES) != 0)
			break;
		if (spoils_full(s)) {
			more = 1;
			break;
		}
		value = leveldb_iter_value(it, &len);
		err = spoils_extent(s, key, value, len);
		*after = get_u64_be(key + 9);
	}
	iter_err = iter_close(fs, it);
	if (iter_err < 0 || err < 0)
		return iter_err < 0 ? iter_err : err;
	return !more;
}

/* Likewise: an inode's records of the kind of `from`, which is the first. */
static int gather_keys(struct fs *fs, struct spoils *s, const struct key *from)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_scan_options(fs->db));
	int more = 0, err;

	leveldb_iter_seek(it, (const char *)from->bytes, from->len);
	for (; leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t len;
		const char *key = leveldb_iter_key(it, &len);

		if (len < KEY_PREFIX_BYTES || len > KEY_MAX ||
		    memcmp(key, from->bytes, KEY_PREFIX_BYTES) != 0)
			break;
		if (spoils_full(s)) {
			more = 1;
			break;
		}
		spoils_key(s, key, len);
	}
	err = iter_close(fs, it);
	return err < 0 ? err : !more;
}

static int gather_xattrs(struct fs *fs, struct spoils *s, uint64_t ino)
{
	struct key from;

	key_xattr(&from, ino, NULL);
	return gather_keys(fs, s, &from);
}

/* All tombstones that may be left in a folder. There cannot be names. */
static int gather_tombstones(struct fs *fs, struct spoils *s, uint64_t ino)
{
	struct key from;

	key_dentry(&from, ino, 0);
	return gather_keys(fs, s, &from);
}

/* ---- removing inodes ---- */

/* What is known of the inode says which kinds of records it can have. */
static int gather_inode(struct fs *fs, struct spoils *s, struct reap_inode *r)
{
	struct inode *i = r->inode;
	bool xattrs, extents;
	int end = 1;

	pthread_mutex_lock(&i->lock);
	xattrs = i->attr.flags & INODE_HAS_XATTR;
	extents = i->type == S_IFREG && i->attr.alloc_bytes > 0;
	pthread_mutex_unlock(&i->lock);
	s->bytes = 0;
	if (extents)
		end = gather_extents(fs, s, i->ino, &r->after);
	if (end > 0 && i->type == S_IFDIR)
		end = gather_tombstones(fs, s, i->ino);
	if (end > 0 && xattrs)
		end = gather_xattrs(fs, s, i->ino);
	if (end < 0)
		return end;
	r->finished = end;
	r->bytes = s->bytes;
	pthread_mutex_lock(&i->lock);
	i->attr.alloc_bytes -= s->bytes;
	if (!r->finished)
		inode_encode(&s->rest, &i->attr, i->stored_size);
	pthread_mutex_unlock(&i->lock);
	return 0;
}

static void put_rest(struct txn *t, const struct spoils *s, const struct reap_inode *r)
{
	struct key k;

	t->used_bytes -= (int64_t)r->bytes;
	key_inode(&k, r->inode->ino);
	if (!r->finished) {
		txn_put(t, &k, &s->rest);
		return;
	}
	txn_delete(t, &k);
	orphan_clear(t, r->inode->ino);
	if (r->inode->attr.flags & INODE_SHIFTING) {
		key_shift(&k, r->inode->ino);
		txn_delete(t, &k);
	}
	t->inodes--;
}

static int write_spoils(struct fs *fs, const struct spoils *s, const struct reap_inode *list,
			size_t count)
{
	struct txn t;
	int err;

	for (size_t n = 0; n < s->ref_count; n++)
		if (n == 0 || s->refs[n].segment != s->refs[n - 1].segment)
			txn_warm_segment(fs, s->refs[n].segment);
	err = txn_begin(fs, &t);
	if (err < 0)
		return err;
	for (size_t n = 0; n < s->key_count; n++)
		txn_delete(&t, &s->keys[n]);
	for (size_t n = 0; n < s->ref_count; n++) {
		txn_live(&t, s->refs[n].segment, -(int64_t)s->refs[n].bytes, 0);
		if (n == 0 || s->refs[n].segment != s->refs[n - 1].segment ||
		    s->refs[n].ino != s->refs[n - 1].ino)
			refs_forget(&t, s->refs[n].segment, s->refs[n].ino);
	}
	for (size_t n = 0; n < count; n++)
		put_rest(&t, s, &list[n]);
	return txn_commit(&t);
}

int reap_batch(struct fs *fs, struct reap_inode *list, size_t count)
{
	struct spoils s;
	size_t n = 0;
	int err = spoils_init(&s);

	for (size_t k = 0; k < count; k++)
		list[k].finished = false;
	while (err >= 0 && n < count && !spoils_full(&s))
		err = gather_inode(fs, &s, &list[n++]);
	if (err >= 0)
		err = write_spoils(fs, &s, list, n);
	spoils_release(&s);
	return err;
}

/* ---- removing the end of a file ---- */

/* How far the next batch can go. *ret_end stays 0 if there is nothing. 1: there is nothing behind
 * it. */
static int look_ahead(struct fs *fs, uint64_t ino, uint64_t from, uint64_t *ret_end)
{
	uint64_t after = from;
	struct spoils s;
	int err = spoils_init(&s);

	if (err >= 0)
		err = gather_extents(fs, &s, ino, &after);
	if (err >= 0 && s.key_count > 0)
		*ret_end = after;
	for (size_t n = 0; n < s.ref_count; n++)
		if (n == 0 || s.refs[n].segment != s.refs[n - 1].segment)
			txn_warm_segment(fs, s.refs[n].segment);
	spoils_release(&s);
	return err;
}

/* Inode locked. */
static int write_trim(struct fs *fs, struct inode *i, uint64_t from, uint64_t end, bool last)
{
	uint64_t alloc_bytes = i->attr.alloc_bytes;
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	if (end > from)
		err = extent_remove(&t, i, from, end);
	if (err < 0) {
		txn_abort(&t);
	} else {
		txn_put_inode(&t, i);
		if (last && i->attr.nlink > 0)
			orphan_clear(&t, i->ino);
		else if (last)
			orphan_put(&t, i->ino, true, 0);
		err = txn_commit(&t);
	}
	if (err < 0)
		i->attr.alloc_bytes = alloc_bytes;
	return err;
}

int reap_trim(struct fs *fs, struct inode *i, uint64_t *after)
{
	uint64_t trim_from, from, end = 0;
	int err, last;
	bool done = false;

	pthread_mutex_lock(&i->lock);
	trim_from = i->trim_from;
	pthread_mutex_unlock(&i->lock);
	from = max_u64(trim_from, *after);
	last = err = look_ahead(fs, i->ino, from, &end);
	pthread_mutex_lock(&i->lock);
	if (err >= 0 && !i->gone && i->trim_from != trim_from) {
		*after = 0; /* cut again, further down */
		pthread_mutex_unlock(&i->lock);
		return 0;
	}
	if (err >= 0 && !i->gone)
		err = write_trim(fs, i, from, end, last);
	if (err >= 0) {
		*after = end;
		done = last || i->gone;
		i->trimming = !done;
	}
	pthread_cond_broadcast(&i->changed); /* also after trouble: who waits may want to give up */
	pthread_mutex_unlock(&i->lock);
	return err < 0 ? err : done;
}
