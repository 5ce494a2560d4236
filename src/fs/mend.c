/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mend: what fsck's repair changes, in batches written beside the snapshot that is being scanned.
 *
 * Nothing is durable before the round's end: mend_end commits. Records that are taken out because
 * they cannot be used are first written into an object of their own, aside/<epoch>/records-<n>
 * (a frame whose payload is pairs of bytes: key, value), so nothing is gone that somebody might
 * still make something of.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BATCH_BYTES (1 * MIB)
#define ASIDE_BYTES (8 * MIB)

typedef unsigned long long ull;

/* ---- batches ---- */

int mend_begin(struct mend *m, struct check *c)
{
	m->c = c;
	c->mend = m;
	m->changes = 0;
	m->batch_bytes = 0;
	m->batch = leveldb_writebatch_create();
	m->lost_found = 0;
	return m->batch ? 0 : -ENOMEM;
}

static int write_aside(struct mend *m)
{
	struct fs *fs = m->c->fs;
	struct buf object CLEANUP(buf_release) = BUF_INIT;
	char key[64];
	int err = buf_error(&m->aside);

	if (err < 0 || m->aside.len == 0)
		return err;
	frame_put(&object, FRAME_ASIDE, &fs->super.uuid, m->aside.data, m->aside.len);
	(void)snprintf(key, sizeof(key), FSCK_ASIDE "%010llu/records-%06llu", (ull)db_epoch(fs->db),
		       (ull)++m->aside_count);
	err = buf_error(&object);
	if (err >= 0)
		err = store_put_bytes(fs->store, key, object.data, object.len, STORE_CREATE, NULL,
				      NULL);
	if (err >= 0)
		check_say(m->c, FS_MENDED, "aside", 0, "records that cannot be used are kept in %s",
			  key);
	buf_reset(&m->aside);
	return err;
}

int mend_flush(struct check *c)
{
	struct mend *m = c->mend;
	char *msg = NULL;
	int err;

	if (!m || m->batch_bytes == 0)
		return 0;
	err = write_aside(m);
	if (err < 0)
		return err;
	leveldb_write(db_handle(c->fs->db), db_write_options(c->fs->db), m->batch, &msg);
	leveldb_writebatch_clear(m->batch);
	m->batch_bytes = 0;
	return msg ? db_error(c->fs->db, msg) : 0;
}

int mend_end(struct mend *m)
{
	int err = mend_flush(m->c);

	leveldb_writebatch_destroy(m->batch);
	m->batch = NULL;
	return err < 0 ? err : db_commit(m->c->fs->db);
}

void mend_release(struct mend *m)
{
	if (m->batch)
		leveldb_writebatch_destroy(m->batch);
	m->batch = NULL;
	buf_release(&m->aside);
}

static int changed(struct check *c, size_t bytes)
{
	struct mend *m = c->mend;

	m->changes++;
	m->batch_bytes += bytes + 16;
	return m->batch_bytes >= BATCH_BYTES || m->aside.len >= ASIDE_BYTES ? mend_flush(c) : 0;
}

int mend_put(struct check *c, const struct key *k, const struct buf *value)
{
	int err = buf_error(value);

	if (!c->mend || err < 0)
		return err;
	leveldb_writebatch_put(c->mend->batch, (const char *)k->bytes, k->len,
			       (const char *)value->data, value->len);
	return changed(c, k->len + value->len);
}

int mend_delete(struct check *c, const uint8_t *key, size_t key_len)
{
	if (!c->mend)
		return 0;
	leveldb_writebatch_delete(c->mend->batch, (const char *)key, key_len);
	return changed(c, key_len);
}

int mend_set_aside(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		   size_t len)
{
	struct mend *m = c->mend;

	if (!m)
		return 0;
	buf_bytes(&m->aside, key, key_len);
	buf_bytes(&m->aside, value, len);
	return mend_delete(c, key, key_len);
}

/* ---- inodes ---- */

static void cut_target(struct attr *a)
{
	const uint8_t *nul = a->target.len ? memchr(a->target.data, 0, a->target.len) : NULL;

	if (nul)
		a->target.len = (size_t)(nul - a->target.data);
	if (a->target.len == 0) {
		a->target.len = 0;
		buf_u8(&a->target, '?'); /* a symlink has a target */
	}
	a->size = a->target.len;
}

static void fix(const struct node *n, struct attr *a)
{
	bool folder = S_ISDIR(n->mode);

	if (n->fix & FIX_LINKS)
		a->nlink = folder ? 2 + n->subfolders : n->links;
	if (n->fix & FIX_ENTRIES)
		a->entries -= (uint64_t)n->entries_left;
	if (n->fix & FIX_ALLOC)
		a->alloc_bytes -= (uint64_t)n->alloc_left;
	if (n->fix & FIX_PARENT)
		a->parent = n->ino == FS_ROOT_INO ? FS_ROOT_INO : n->name_dir;
	if (n->fix & FIX_SIZE)
		a->size = n->size;
	if (n->fix & FIX_FLAGS)
		a->flags = n->flags;
	if (n->fix & FIX_MODE)
		a->mode &= (uint32_t)(S_IFMT | 07777);
	if (n->fix & FIX_TARGET)
		cut_target(a);
}

static int mend_node(struct check *c, const struct node *n)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct attr a = { 0 };
	struct key k;
	int err;

	key_inode(&k, n->ino);
	err = db_value(c->fs, &k, &value);
	if (err == -ENOENT)
		return 0;
	if (err >= 0)
		err = inode_decode(value.data, value.len, n->ino, &a);
	if (err >= 0) {
		fix(n, &a);
		buf_reset(&value);
		inode_encode(&value, &a, a.size);
		err = mend_put(c, &k, &value);
	}
	buf_release(&a.target);
	return err;
}

int mend_nodes(struct check *c)
{
	uint64_t count = 0;
	int err = mend_flush(c);

	if (!c->mend)
		return 0;
	for (size_t n = 0; n < c->node_count && err >= 0; n++) {
		if (!c->nodes[n].fix)
			continue;
		count++;
		err = mend_node(c, &c->nodes[n]);
	}
	if (count > 0)
		check_say(c, FS_MENDED, "counts", 0,
			  "%llu inodes: counts, sizes, flags or links set right", (ull)count);
	return err;
}

/* ---- counters ---- */

int mend_totals(struct check *c)
{
	struct fs *fs = c->fs;
	uint64_t last = c->mend ? max_u64(c->mend->last_ino, c->last_ino) : 0;
	struct totals t = { .next_ino = max_u64(c->totals.next_ino, last + 1),
			    .inodes = c->result.inodes,
			    .used_bytes = c->result.bytes };
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	if (!c->mend)
		return 0;
	t.next_ino = max_u64(t.next_ino, FS_ROOT_INO + 1);
	c->mend->last_ino = max_u64(c->mend->last_ino, last);
	if (memcmp(&t, &c->totals, sizeof(t)) == 0)
		return 0;
	pthread_mutex_lock(&fs->totals_lock);
	fs->totals = t;
	pthread_mutex_unlock(&fs->totals_lock);
	key_totals(&k);
	totals_encode(&value, &t);
	return mend_put(c, &k, &value);
}

int mend_segment(struct check *c, const struct check_segment *s)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct seg_record rec = s->rec;
	struct key k;

	rec.live_bytes = s->live;
	if (!s->has_record)
		rec.total_bytes = s->live;
	if (rec.live_bytes > rec.total_bytes + rec.shared_bytes)
		rec.shared_bytes = rec.live_bytes - rec.total_bytes;
	rec.referenced |= s->unlisted || rec.shared_bytes > 0;
	key_segment(&k, s->id);
	seg_encode(&value, &rec);
	return mend_put(c, &k, &value);
}
