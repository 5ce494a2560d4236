/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_say: how findings of fsck get to who asked: as sentences with the paths of files in them,
 * and ranges of one file that follow each other as one.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024
#define STEP_EVERY 4096
#define DEPTH_MAX 1000

typedef unsigned long long ull;

/* ---- paths ---- */

/* Puts "/NAME" before what is there. False: there is no such entry, or no room. */
static bool prepend(struct check *c, uint64_t dir, uint64_t cookie, char *path, size_t *at)
{
	char *msg = NULL, *value;
	struct dentry d;
	struct key k;
	bool fits;
	size_t len;

	key_dentry(&k, dir, cookie);
	value = leveldb_get(db_handle(c->fs->db), c->read, (const char *)k.bytes, k.len, &len,
			    &msg);
	if (msg)
		leveldb_free(msg);
	if (!value)
		return false;
	fits = dentry_decode(value, len, &d) >= 0 && d.name_len < *at;
	if (fits) {
		*at -= d.name_len + 1;
		path[*at] = '/';
		memcpy(path + *at + 1, d.name, d.name_len);
	}
	leveldb_free(value);
	return fits;
}

/* By the names that the scan has seen so far; NULL if they do not lead to the root. */
static const char *path_of(struct check *c, uint64_t ino, char path[CHECK_PATH_MAX])
{
	struct node *n = check_node(c, ino);
	size_t at = CHECK_PATH_MAX - 1;

	path[at] = 0;
	if (ino == FS_ROOT_INO)
		return "/";
	for (int depth = 0; n && n->ino != FS_ROOT_INO; depth++) {
		if (n->name_dir == 0 || depth == DEPTH_MAX ||
		    !prepend(c, n->name_dir, n->name_cookie, path, &at))
			return NULL;
		n = check_node(c, n->name_dir);
	}
	return n ? path + at : NULL;
}

/* ---- findings ---- */

static void tell(struct check *c, struct fs_finding *f, const char *fmt, va_list ap)
{
	char path[CHECK_PATH_MAX], text[TEXT_MAX];

	if (!c->options->finding)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	f->text = text;
	f->path = f->ino ? path_of(c, f->ino, path) : NULL;
	c->options->finding(c->options->ctx, f);
}

void check_problem(struct check *c, const char *code, uint64_t ino, const char *fmt, ...)
{
	struct fs_finding f = { .stage = FS_FOUND, .code = code, .ino = ino };
	va_list ap;

	c->result.problems++;
	va_start(ap, fmt);
	tell(c, &f, fmt, ap);
	va_end(ap);
}

void check_object_problem(struct check *c, const char *code, const char *object, const char *fmt,
			  ...)
{
	struct fs_finding f = { .stage = FS_FOUND, .code = code, .object = object };
	va_list ap;

	c->result.problems++;
	va_start(ap, fmt);
	tell(c, &f, fmt, ap);
	va_end(ap);
}

void check_say(struct check *c, enum fs_stage stage, const char *code, uint64_t ino,
	       const char *fmt, ...)
{
	struct fs_finding f = { .stage = stage, .code = code, .ino = ino };
	va_list ap;

	va_start(ap, fmt);
	tell(c, &f, fmt, ap);
	va_end(ap);
}

/* ---- ranges ---- */

struct damage {
	const char *code;
	uint64_t ino, start, end;
	char why[256];
};

static struct damage *last_damage(struct check *c)
{
	size_t len = sizeof(struct damage);

	return c->damage.len < len ? NULL : (struct damage *)(c->damage.data + c->damage.len - len);
}

int check_damage(struct check *c, const char *code, uint64_t ino, uint64_t start, uint64_t end,
		 const char *why)
{
	struct damage d = { code, ino, start, end, "" }, *last = last_damage(c);

	if (last && last->ino == ino && last->code == code && last->end == start) {
		last->end = end;
		return 0;
	}
	(void)snprintf(d.why, sizeof(d.why), "%s", why);
	buf_add(&c->damage, &d, sizeof(d));
	return buf_error(&c->damage);
}

static void tell_range(struct check *c, struct fs_finding *f, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static void tell_range(struct check *c, struct fs_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(c, f, fmt, ap);
	va_end(ap);
}

void check_tell_damage(struct check *c)
{
	size_t count = c->damage.len / sizeof(struct damage);

	for (size_t n = 0; n < count; n++) {
		struct damage *d = (struct damage *)c->damage.data + n;
		bool old = strcmp(d->code, "lost-range") == 0;
		struct fs_finding f = { .stage = old ? FS_NOTE : FS_FOUND,
					.code = d->code,
					.ino = d->ino,
					.start = d->start,
					.end = d->end };

		c->result.problems += !old;
		tell_range(c, &f, "inode %llu: bytes %llu to %llu %s", (ull)d->ino, (ull)d->start,
			   (ull)d->end, d->why);
	}
	buf_reset(&c->damage);
}

int check_step(struct check *c, const char *phase)
{
	const struct fs_check_options *o = c->options;

	if (c->done++ % STEP_EVERY != 0)
		return 0;
	if (o->progress)
		o->progress(o->ctx, phase, c->done - 1, 0);
	return o->cancelled && o->cancelled(o->ctx) ? err_note(-ECANCELED, "interrupted") : 0;
}
