/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simplest filesystem there is, to compare the real one with: arrays of nodes and of names, and
 * what POSIX says of each operation. Operations are drawn at random from a seed, and done to both.
 */
#ifndef LEVELS3_TESTS_MODEL_H
#define LEVELS3_TESTS_MODEL_H

#include "fs/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_NODES 512
#define MODEL_NAMES 8 /* different ones, so that they meet often */
#define MODEL_ENTRIES 512
#define MODEL_ROOT 0

struct model_node {
	bool dir;
	uint32_t mode;
	unsigned nlink, parent;
	uint64_t value; /* in the file's first bytes */
	uint64_t floor; /* the value that a later change of its metadata has made sure of */
};

struct model_entry {
	bool used;
	unsigned dir, name, node;
};

struct model {
	struct model_node nodes[MODEL_NODES];
	unsigned node_count;
	struct model_entry entries[MODEL_ENTRIES];
	uint64_t random;
};

enum model_kind {
	MAKE,
	MKDIR,
	LINK,
	UNLINK,
	RMDIR,
	RENAME,
	NOREPLACE,
	EXCHANGE,
	WRITE,
	CHMOD,
	KINDS
};

struct model_op {
	enum model_kind kind;
	unsigned dir, name, to_dir, to_name;
	uint64_t value;
};

static inline uint64_t model_draw(struct model *m, uint64_t below)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (m->random >> 33) % below;
}

static inline void model_init(struct model *m, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->nodes[MODEL_ROOT] = (struct model_node){ .dir = true, .mode = 0755, .nlink = 2 };
	m->node_count = 1;
	m->random = seed * 2654435761u + 1;
}

static inline unsigned model_draw_dir(struct model *m)
{
	for (unsigned tries = 0; tries < 20; tries++) {
		unsigned n = (unsigned)model_draw(m, m->node_count);

		if (m->nodes[n].dir && m->nodes[n].nlink > 0)
			return n;
	}
	return MODEL_ROOT;
}

static inline struct model_op model_draw_op(struct model *m, uint64_t value)
{
	/* what makes things comes up more often than what removes them */
	static const uint8_t kinds[] = { MAKE,	MAKE,	MAKE,	MKDIR,	LINK,	   UNLINK,
					 RMDIR, RENAME, RENAME, RENAME, NOREPLACE, EXCHANGE,
					 WRITE, WRITE,	WRITE,	CHMOD };
	struct model_op op = { .kind = (enum model_kind)kinds[model_draw(m, ARRAY_LEN(kinds))] };

	op.dir = model_draw_dir(m);
	op.name = (unsigned)model_draw(m, MODEL_NAMES);
	op.to_dir = model_draw_dir(m);
	op.to_name = (unsigned)model_draw(m, MODEL_NAMES);
	op.value = value;
	return op;
}

static inline struct model_entry *model_find(struct model *m, unsigned dir, unsigned name)
{
	for (unsigned n = 0; n < MODEL_ENTRIES; n++)
		if (m->entries[n].used && m->entries[n].dir == dir && m->entries[n].name == name)
			return &m->entries[n];
	return NULL;
}

static inline bool model_empty(const struct model *m, unsigned dir)
{
	for (unsigned n = 0; n < MODEL_ENTRIES; n++)
		if (m->entries[n].used && m->entries[n].dir == dir)
			return false;
	return true;
}

static inline void model_add(struct model *m, unsigned dir, unsigned name, unsigned node)
{
	for (unsigned n = 0; n < MODEL_ENTRIES; n++) {
		if (m->entries[n].used)
			continue;
		m->entries[n] = (struct model_entry){ true, dir, name, node };
		if (m->nodes[node].dir) {
			m->nodes[dir].nlink++;
			m->nodes[node].parent = dir;
		}
		return;
	}
	abort(); /* the model is full: whoever draws keeps below that */
}

static inline void model_drop(struct model *m, struct model_entry *e)
{
	e->used = false;
	if (m->nodes[e->node].dir)
		m->nodes[e->dir].nlink--;
}

/* Its metadata changes: so what was written before is made sure of. */
static inline void model_touch(struct model *m, unsigned node)
{
	m->nodes[node].floor = m->nodes[node].value;
}

static inline bool model_above(const struct model *m, unsigned node, unsigned dir)
{
	for (;; dir = m->nodes[dir].parent) {
		if (dir == node)
			return true;
		if (dir == MODEL_ROOT)
			return false;
	}
}

static inline void model_unname(struct model *m, struct model_entry *e)
{
	unsigned node = e->node;

	model_drop(m, e);
	if (m->nodes[node].dir)
		m->nodes[node].nlink = 0;
	else
		m->nodes[node].nlink--;
	model_touch(m, node);
}

static inline int model_make(struct model *m, const struct model_op *op)
{
	bool dir = op->kind == MKDIR;

	if (model_find(m, op->dir, op->name))
		return -EEXIST;
	if (m->node_count == MODEL_NODES)
		abort();
	m->nodes[m->node_count] =
		(struct model_node){ .dir = dir, .mode = dir ? 0755 : 0644, .nlink = dir ? 2 : 1 };
	model_add(m, op->dir, op->name, m->node_count++);
	return 0;
}

static inline int model_remove(struct model *m, const struct model_op *op)
{
	struct model_entry *e = model_find(m, op->dir, op->name);

	if (!e)
		return -ENOENT;
	if (op->kind == UNLINK && m->nodes[e->node].dir)
		return -EISDIR;
	if (op->kind == RMDIR && !m->nodes[e->node].dir)
		return -ENOTDIR;
	if (op->kind == RMDIR && !model_empty(m, e->node))
		return -ENOTEMPTY;
	model_unname(m, e);
	return 0;
}

static inline int model_link(struct model *m, const struct model_op *op)
{
	struct model_entry *e = model_find(m, op->dir, op->name);

	if (!e)
		return -ENOENT;
	if (m->nodes[e->node].dir)
		return -EPERM;
	if (model_find(m, op->to_dir, op->to_name))
		return -EEXIST;
	m->nodes[e->node].nlink++;
	model_touch(m, e->node);
	model_add(m, op->to_dir, op->to_name, e->node);
	return 0;
}

static inline int model_check_rename(const struct model *m, const struct model_op *op,
				     const struct model_entry *from, const struct model_entry *to)
{
	if (!from)
		return -ENOENT;
	if (!to && op->kind == EXCHANGE)
		return -ENOENT;
	if (to && op->kind == NOREPLACE)
		return -EEXIST;
	if (to && op->kind == RENAME && m->nodes[from->node].dir != m->nodes[to->node].dir)
		return m->nodes[to->node].dir ? -EISDIR : -ENOTDIR;
	if (to && to->node == from->node)
		return 0;
	if (m->nodes[from->node].dir && model_above(m, from->node, op->to_dir))
		return -EINVAL;
	if (to && m->nodes[to->node].dir && model_above(m, to->node, op->dir))
		return op->kind == EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (to && op->kind == RENAME && m->nodes[to->node].dir && !model_empty(m, to->node))
		return -ENOTEMPTY;
	return 0;
}

static inline int model_rename(struct model *m, const struct model_op *op)
{
	struct model_entry *from = model_find(m, op->dir, op->name);
	struct model_entry *to = model_find(m, op->to_dir, op->to_name);
	int err = model_check_rename(m, op, from, to);
	unsigned node, other;

	if (err < 0 || (to && to->node == from->node))
		return err;
	node = from->node;
	model_touch(m, node);
	model_drop(m, from);
	if (to && op->kind == EXCHANGE) {
		other = to->node;
		model_touch(m, other);
		model_drop(m, to);
		model_add(m, op->dir, op->name, other);
	} else if (to) {
		model_unname(m, to);
	}
	model_add(m, op->to_dir, op->to_name, node);
	return 0;
}

static inline uint32_t model_mode(const struct model_op *op)
{
	return (uint32_t)(0600 + op->value % 64);
}

static inline int model_change(struct model *m, const struct model_op *op)
{
	struct model_entry *e = model_find(m, op->dir, op->name);

	if (!e)
		return -ENOENT;
	if (op->kind == CHMOD) {
		model_touch(m, e->node);
		m->nodes[e->node].mode = model_mode(op);
		return 0;
	}
	if (m->nodes[e->node].dir)
		return -EISDIR;
	m->nodes[e->node].value = op->value;
	return 0;
}

static inline int model_do(struct model *m, const struct model_op *op)
{
	switch (op->kind) {
	case MAKE:
	case MKDIR:
		return model_make(m, op);
	case LINK:
		return model_link(m, op);
	case UNLINK:
	case RMDIR:
		return model_remove(m, op);
	case WRITE:
	case CHMOD:
		return model_change(m, op);
	default:
		return model_rename(m, op);
	}
}

/* fs_sync: all that was written is made sure of. */
static inline void model_sync(struct model *m)
{
	for (unsigned n = 0; n < m->node_count; n++)
		model_touch(m, n);
}

/* ---- the same on the real one ---- */

static inline const char *model_name(unsigned name, char out[16])
{
	(void)snprintf(out, 16, "name-%u", name);
	return out;
}

typedef int (*model_write_fn)(struct fs *real, uint64_t ino, uint64_t value);

static const struct fs_cred model_cred = { 1000, 1000, 0 };

static inline int real_change(struct fs *real, model_write_fn write, const struct model_op *op,
			      uint64_t dir, const char *name)
{
	struct fs_attr attr;
	int err = fs_lookup(real, dir, name, &attr);

	if (err < 0)
		return err;
	if (op->kind == WRITE)
		return S_ISDIR(attr.mode) ? -EISDIR : write(real, attr.ino, op->value);
	attr.mode = model_mode(op);
	return fs_setattr(real, attr.ino, &attr, FS_SET_MODE, &attr);
}

static inline int real_link(struct fs *real, uint64_t dir, const char *name, uint64_t to_dir,
			    const char *to)
{
	struct fs_attr attr;
	int err = fs_lookup(real, dir, name, &attr);

	return err < 0 ? err : fs_link(real, attr.ino, to_dir, to, &attr);
}

/* inos: of the model's nodes. ret_ino: of what was made. */
static inline int real_do(struct fs *real, model_write_fn write, const struct model_op *op,
			  const uint64_t *inos, uint64_t *ret_ino)
{
	uint64_t dir = inos[op->dir], to_dir = inos[op->to_dir];
	struct fs_attr attr = { 0 };
	char name[16], to[16];
	int err;

	model_name(op->name, name);
	model_name(op->to_name, to);
	switch (op->kind) {
	case MAKE:
		err = fs_mknod(real, dir, name, &model_cred, S_IFREG | 0644, 0, &attr);
		break;
	case MKDIR:
		err = fs_mkdir(real, dir, name, &model_cred, 0755, &attr);
		break;
	case LINK:
		return real_link(real, dir, name, to_dir, to);
	case UNLINK:
		return fs_unlink(real, dir, name);
	case RMDIR:
		return fs_rmdir(real, dir, name);
	case WRITE:
	case CHMOD:
		return real_change(real, write, op, dir, name);
	case NOREPLACE:
		return fs_rename(real, dir, name, to_dir, to, FS_RENAME_NOREPLACE);
	case EXCHANGE:
		return fs_rename(real, dir, name, to_dir, to, FS_RENAME_EXCHANGE);
	default:
		return fs_rename(real, dir, name, to_dir, to, 0);
	}
	*ret_ino = attr.ino;
	return err;
}

/* ---- comparing ---- */

/* Depth first, names in order: "3(2:755 1=1:644 ) ", that is name, kind, link
 * count and mode. */
static inline void model_print(struct model *m, unsigned dir, struct buf *out)
{
	for (unsigned name = 0; name < MODEL_NAMES; name++) {
		struct model_entry *e = model_find(m, dir, name);

		if (!e)
			continue;
		buf_printf(out, "%u%c%u:%o ", name, m->nodes[e->node].dir ? '(' : '=',
			   m->nodes[e->node].nlink, m->nodes[e->node].mode);
		if (!m->nodes[e->node].dir)
			continue;
		model_print(m, e->node, out);
		buf_add_str(out, ") ");
	}
}

static inline int real_print(struct fs *real, uint64_t dir, struct buf *out)
{
	struct fs_attr attr;
	char name[16];

	for (unsigned n = 0; n < MODEL_NAMES; n++) {
		int err = fs_lookup(real, dir, model_name(n, name), &attr);

		if (err == -ENOENT)
			continue;
		if (err < 0)
			return err;
		buf_printf(out, "%u%c%u:%o ", n, S_ISDIR(attr.mode) ? '(' : '=', attr.nlink,
			   attr.mode & 07777);
		if (!S_ISDIR(attr.mode))
			continue;
		err = real_print(real, attr.ino, out);
		if (err < 0)
			return err;
		buf_add_str(out, ") ");
	}
	return 0;
}

#endif
