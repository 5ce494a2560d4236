/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check: fsck. Reads everything and changes nothing.
 *
 * It looks at one LevelDB snapshot, taken together with the counters in memory while no batch is
 * under way: so a filesystem in use can be checked, too. Scans go kind by kind through the keys;
 * what has to be compared between kinds is kept per inode (a sorted array) and per segment
 * (check_data.c).
 */
#include "fs/check.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024
#define PROGRESS_EVERY 4096
#define SHOWN_NAME_MAX 64

typedef unsigned long long ull;

void check_problem(struct check *c, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	c->result.problems++;
	if (!c->options->problem)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->options->problem(c->options->ctx, text);
}

void check_step(struct check *c, const char *phase)
{
	if (c->done++ % PROGRESS_EVERY == 0 && c->options->progress)
		c->options->progress(c->options->ctx, phase, c->done - 1, 0);
}

/* ---- scanning ---- */

static int scan_error(struct check *c, leveldb_iterator_t *it)
{
	char *msg = NULL;

	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(c->fs->db, msg) : 0;
}

int check_scan(struct check *c, enum key_kind kind, const char *phase, check_key_fn fn)
{
	leveldb_iterator_t *it = leveldb_create_iterator(db_handle(c->fs->db), c->read);
	char first = (char)kind;
	int err = 0, it_err;

	c->done = 0;
	for (leveldb_iter_seek(it, &first, 1); err >= 0 && leveldb_iter_valid(it);
	     leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len == 0 || key[0] != first)
			break;
		value = leveldb_iter_value(it, &len);
		check_step(c, phase);
		err = fn(c, (const uint8_t *)key, key_len, value, len);
	}
	it_err = scan_error(c, it);
	return it_err < 0 ? it_err : err;
}

static bool kind_is_known(int kind)
{
	switch (kind) {
	case KEY_INODE:
	case KEY_DENTRY:
	case KEY_EXTENT:
	case KEY_XATTR:
	case KEY_SEGMENT:
	case KEY_REFERENCE:
	case KEY_SHIFT:
	case KEY_ORPHAN:
	case KEY_TOTALS:
		return true;
	default:
		return false;
	}
}

/* A seek to each first byte that no key should have. */
static int check_kinds(struct check *c)
{
	leveldb_iterator_t *it = leveldb_create_iterator(db_handle(c->fs->db), c->read);

	leveldb_iter_seek_to_first(it);
	while (leveldb_iter_valid(it)) {
		size_t len;
		const char *key = leveldb_iter_key(it, &len);
		int kind = len > 0 ? (uint8_t)key[0] : 0;
		char next = (char)(kind + 1);

		if (!kind_is_known(kind))
			check_problem(c, "there are keys of the unknown kind 0x%02x", kind);
		if (kind == 255)
			break;
		leveldb_iter_seek(it, &next, 1);
	}
	return scan_error(c, it);
}

/* ---- inodes ---- */

struct node *check_node(struct check *c, uint64_t ino)
{
	size_t low = 0, high = c->node_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->nodes[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->node_count && c->nodes[low].ino == ino ? &c->nodes[low] : NULL;
}

static struct node *node_add(struct check *c)
{
	if (c->node_count == c->node_cap) {
		size_t cap = c->node_cap ? c->node_cap * 2 : 1024;
		struct node *more = realloc(c->nodes, cap * sizeof(*more));

		if (!more)
			return NULL;
		c->nodes = more;
		c->node_cap = cap;
	}
	return &c->nodes[c->node_count++];
}

static int see_inode(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	struct attr a = { 0 };
	struct node *n;

	if (key_len != 9) {
		check_problem(c, "an inode key has %zu bytes instead of 9", key_len);
		return 0;
	}
	c->result.inodes++;
	if (inode_decode(value, len, get_u64_be(key + 1), &a) < 0) {
		check_problem(c, "inode %llu: %s", (ull)get_u64_be(key + 1), err_last_note());
		return 0;
	}
	buf_release(&a.target);
	n = node_add(c);
	if (!n)
		return -ENOMEM;
	*n = (struct node){ .ino = get_u64_be(key + 1),
			    .size = a.size,
			    .parent = a.parent,
			    .entries_left = (int64_t)a.entries,
			    .alloc_left = (int64_t)a.alloc_bytes,
			    .mode = a.mode,
			    .nlink = a.nlink,
			    .flags = a.flags };
	if (n->ino >= c->totals.next_ino)
		check_problem(c, "inode %llu is not below the next number to be given out, %llu",
			      (ull)n->ino, (ull)c->totals.next_ino);
	return 0;
}

static int see_orphan(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct orphan_record o;
	struct node *n;

	if (key_len != 9) {
		check_problem(c, "an orphan key has %zu bytes instead of 9", key_len);
		return 0;
	}
	c->result.orphans++;
	if (orphan_decode(value, len, &o) < 0) {
		check_problem(c, "inode %llu: %s", (ull)get_u64_be(key + 1), err_last_note());
		return 0;
	}
	n = check_node(c, get_u64_be(key + 1));
	if (!n) {
		check_problem(c, "inode %llu is to be removed or trimmed, and missing",
			      (ull)get_u64_be(key + 1));
		return 0;
	}
	n->orphan = o.whole;
	n->trim = !o.whole;
	if (o.whole && n->nlink > 0)
		check_problem(c, "inode %llu is to be removed, and has %u links", (ull)n->ino,
			      n->nlink);
	if (!o.whole && !S_ISREG(n->mode))
		check_problem(c, "inode %llu is to be trimmed, and is no regular file",
			      (ull)n->ino);
	return 0;
}

static int see_shift(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	struct shift s;
	struct node *n;

	if (key_len != 9) {
		check_problem(c, "a shift's key has %zu bytes instead of 9", key_len);
		return 0;
	}
	if (shift_decode(value, len, &s) < 0)
		check_problem(c, "inode %llu: %s", (ull)get_u64_be(key + 1), err_last_note());
	n = check_node(c, get_u64_be(key + 1));
	if (!n || !(n->flags & INODE_SHIFTING))
		check_problem(c, "inode %llu is being shifted, and %s", (ull)get_u64_be(key + 1),
			      n ? "its record denies it" : "missing");
	else
		n->shift = true;
	return 0;
}

static int see_xattr(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	const uint8_t *bytes;
	size_t bytes_len;
	struct node *n;

	if (key_len <= 9 || key_len > 9 + FS_XATTR_NAME_MAX) {
		check_problem(c, "an extended attribute has a key of %zu bytes", key_len);
		return 0;
	}
	if (xattr_decode(value, len, &bytes, &bytes_len) < 0)
		check_problem(c, "inode %llu: %s", (ull)get_u64_be(key + 1), err_last_note());
	n = check_node(c, get_u64_be(key + 1));
	if (!n)
		check_problem(c, "inode %llu has an extended attribute, and is missing",
			      (ull)get_u64_be(key + 1));
	else if (!(n->flags & INODE_HAS_XATTR))
		check_problem(c, "inode %llu has an extended attribute, and its record denies it",
			      (ull)n->ino);
	return 0;
}

/* ---- names ---- */

static const char *shown(const struct dentry *d, char out[SHOWN_NAME_MAX + 1])
{
	(void)snprintf(out, SHOWN_NAME_MAX + 1, "%.*s", (int)d->name_len, d->name);
	return out;
}

static void check_place(struct check *c, uint64_t dir, uint64_t cookie, const struct dentry *d)
{
	char name[FS_NAME_MAX + 1], shown_name[SHOWN_NAME_MAX + 1];
	bool first = (cookie & 0xff) == 0;

	if (!first && (c->before_dir != dir || c->before_cookie + 1 != cookie))
		check_problem(c,
			      "folder %llu: entry %llx cannot be found: the one before is missing",
			      (ull)dir, (ull)cookie);
	c->before_dir = dir;
	c->before_cookie = cookie;
	if (d->type == 0)
		return;
	memcpy(name, d->name, d->name_len);
	name[d->name_len] = 0;
	if (key_cookie(c->fs, name, 0) != (cookie & ~(uint64_t)0xff))
		check_problem(c, "folder %llu: name \"%s\" is not where its hash says", (ull)dir,
			      shown(d, shown_name));
}

static void check_child(struct check *c, struct node *dir, struct node *child,
			const struct dentry *d)
{
	char name[SHOWN_NAME_MAX + 1];

	child->links++;
	if ((uint32_t)DTTOIF(d->type) != (child->mode & S_IFMT))
		check_problem(c, "folder %llu: \"%s\" and inode %llu are of different types",
			      (ull)dir->ino, shown(d, name), (ull)child->ino);
	if (!S_ISDIR(child->mode))
		return;
	dir->subfolders++;
	if (child->parent != dir->ino)
		check_problem(c,
			      "folder %llu has \"%s\", inode %llu, whose parent is said to be %llu",
			      (ull)dir->ino, shown(d, name), (ull)child->ino, (ull)child->parent);
	if (child->links > 1 || child->ino == FS_ROOT_INO)
		check_problem(c, "folder %llu has more than one name", (ull)child->ino);
}

static int see_dentry(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	char name[SHOWN_NAME_MAX + 1];
	struct node *dir, *child;
	struct dentry d;

	if (key_len != 17) {
		check_problem(c, "a directory entry's key has %zu bytes instead of 17", key_len);
		return 0;
	}
	if (dentry_decode(value, len, &d) < 0) {
		check_problem(c, "folder %llu: %s", (ull)get_u64_be(key + 1), err_last_note());
		return 0;
	}
	check_place(c, get_u64_be(key + 1), get_u64_be(key + 9), &d);
	dir = check_node(c, get_u64_be(key + 1));
	if (!dir || !S_ISDIR(dir->mode)) {
		check_problem(c, "inode %llu has directory entries, and is %s",
			      (ull)get_u64_be(key + 1), dir ? "no folder" : "missing");
		return 0;
	}
	if (d.type == 0)
		return 0;
	c->result.dentries++;
	dir->entries_left--;
	child = check_node(c, d.ino);
	if (child)
		check_child(c, dir, child, &d);
	else
		check_problem(c, "folder %llu: \"%s\" names inode %llu, which is missing",
			      (ull)dir->ino, shown(&d, name), (ull)d.ino);
	return 0;
}

/* ---- what all scans together say ---- */

enum walk { NOT_WALKED, WALKING, REACHES_ROOT };

/* Up from the folder until something known. */
static void check_reachable(struct check *c, struct node *from)
{
	struct node *n = from;

	while (n && n->walk == NOT_WALKED && n->ino != FS_ROOT_INO) {
		n->walk = WALKING;
		n = check_node(c, n->parent);
	}
	if (!n || n->walk == WALKING) {
		check_problem(c, "folder %llu cannot be reached from the root", (ull)from->ino);
		from->walk = REACHES_ROOT; /* said once */
	}
	for (n = from; n && n->walk == WALKING; n = check_node(c, n->parent))
		n->walk = REACHES_ROOT;
}

static void check_folder(struct check *c, struct node *n)
{
	if (n->nlink > 0 && n->nlink != 2 + n->subfolders)
		check_problem(c, "folder %llu has the link count %u instead of %u", (ull)n->ino,
			      n->nlink, 2 + n->subfolders);
	if (n->entries_left != 0)
		check_problem(c, "folder %llu: its count of names is wrong by %lld", (ull)n->ino,
			      (long long)n->entries_left);
	if (n->nlink > 0 && n->links == 0 && n->ino != FS_ROOT_INO)
		check_problem(c, "folder %llu has no name", (ull)n->ino);
	if (n->nlink > 0)
		check_reachable(c, n);
	else if (n->links > 0)
		check_problem(c, "folder %llu has a name, and the link count 0", (ull)n->ino);
}

static void check_counts(struct check *c, struct node *n)
{
	if (S_ISDIR(n->mode))
		check_folder(c, n);
	else if (n->nlink != n->links)
		check_problem(c, "inode %llu has the link count %u instead of %u", (ull)n->ino,
			      n->nlink, n->links);
	if ((n->flags & INODE_SHIFTING) && !n->shift)
		check_problem(c, "inode %llu is being shifted, and no record says how",
			      (ull)n->ino);
	if (n->nlink == 0 && !n->orphan)
		check_problem(c, "inode %llu has no name, and is not going to be removed",
			      (ull)n->ino);
	if (n->alloc_left != 0)
		check_problem(c, "inode %llu: its allocated bytes are wrong by %lld", (ull)n->ino,
			      (long long)n->alloc_left);
}

static int check_totals(struct check *c)
{
	struct node *root = check_node(c, FS_ROOT_INO);

	for (size_t n = 0; n < c->node_count; n++)
		check_counts(c, &c->nodes[n]);
	if (!root || !S_ISDIR(root->mode))
		check_problem(c, "the root folder is missing");
	if (c->totals.inodes != c->result.inodes)
		check_problem(c, "there are %llu inodes, and the totals say %llu",
			      (ull)c->result.inodes, (ull)c->totals.inodes);
	if (c->totals.used_bytes != c->result.bytes)
		check_problem(c, "extents have %llu bytes, and the totals say %llu",
			      (ull)c->result.bytes, (ull)c->totals.used_bytes);
	return 0;
}

/* ---- the whole ---- */

/* Counters that are ahead of their records, as of the snapshot. Seal lock held. */
static int copy_counters(struct check *c)
{
	struct seg *s, *next;
	int err = 0;

	pthread_mutex_lock(&c->fs->totals_lock);
	c->totals = c->fs->totals;
	HASH_ITER (hh, c->fs->segs, s, next) {
		struct check_segment *seg = s->dirty ? check_segment_get(c, s->id) : NULL;

		if (seg) {
			seg->rec = s->rec;
			seg->has_record = true;
		} else if (s->dirty) {
			err = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&c->fs->totals_lock);
	return err;
}

static int check_begin(struct check *c)
{
	int err;

	pthread_rwlock_wrlock(&c->fs->seal);
	c->snapshot = leveldb_create_snapshot(db_handle(c->fs->db));
	err = copy_counters(c);
	pthread_rwlock_unlock(&c->fs->seal);
	c->read = leveldb_readoptions_create();
	leveldb_readoptions_set_verify_checksums(c->read, 1);
	leveldb_readoptions_set_fill_cache(c->read, 0);
	leveldb_readoptions_set_snapshot(c->read, c->snapshot);
	return err;
}

static void check_end(struct check *c)
{
	leveldb_readoptions_destroy(c->read);
	leveldb_release_snapshot(db_handle(c->fs->db), c->snapshot);
	check_segments_free(c);
	free(c->nodes);
}

/* The stored totals are checked for being there; what counts is what is in memory. */
static int see_totals(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct totals t;

	if (key_len != 1)
		check_problem(c, "a totals key has %zu bytes instead of 1", key_len);
	else if (totals_decode(value, len, &t) < 0)
		check_problem(c, "totals: %s", err_last_note());
	return 0;
}

static int check_all(struct check *c)
{
	int err = check_kinds(c);

	if (err >= 0)
		err = check_scan(c, KEY_TOTALS, "totals", see_totals);
	if (err >= 0)
		err = check_scan(c, KEY_INODE, "inodes", see_inode);
	if (err >= 0)
		err = check_scan(c, KEY_ORPHAN, "orphans", see_orphan);
	if (err >= 0)
		err = check_scan(c, KEY_SHIFT, "shifts", see_shift);
	if (err >= 0)
		err = check_scan(c, KEY_DENTRY, "names", see_dentry);
	if (err >= 0)
		err = check_scan(c, KEY_XATTR, "extended attributes", see_xattr);
	if (err >= 0)
		err = check_extents(c);
	if (err >= 0)
		err = check_segments(c);
	if (err >= 0)
		err = check_references(c);
	if (err >= 0)
		err = check_totals(c);
	if (err >= 0)
		err = check_objects(c);
	return err;
}

int fs_check(struct fs *fs, const struct fs_check_options *options, struct fs_check_result *ret)
{
	struct check c = { .fs = fs, .options = options };
	int err = check_begin(&c);

	if (err >= 0)
		err = check_all(&c);
	check_end(&c);
	if (ret)
		*ret = c.result;
	if (err < 0)
		return err;
	return c.result.problems > 0;
}
