/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Comparing. Equal must be: the result or errno of each step, bytes read, names listed; and of
 * everything that the step names, before and after: whether it is there (or the errno of looking),
 * type, mode, links, owner, group, size, device, whether it is still the same file, and whether
 * the step changed mtime and ctime; times that were set by hand, to the nanosecond.
 *
 * Where native filesystems may do otherwise, and so may we:
 *  - Sizes of folders, numbers of blocks, inode numbers; the order of names and of extended
 *    attributes (they are sorted before); positions in folders; where holes are (exec_file.c checks
 *    that what is said of them is true); unaligned O_DIRECT (always aligned, exec_file.c).
 *  - atime, when reading: with relatime only some reads change it, and reads from the kernel's
 *    cache do not reach a FUSE filesystem. Compared is what was set by hand.
 *  - mtime and ctime of a file with bytes changed through a shared mapping: a native filesystem
 *    sets them when a page is first written to, FUSE when the page is written back, which may be
 *    any time later. Until fsync of the file nothing is said about them.
 *  - Bytes stored through a mapping beyond the end of the file, within its last page: when the file
 *    grows over them, the kernel clears them for native filesystems, and not for FUSE. No such
 *    bytes are stored (exec_map.c).
 *  - mtime and ctime of a FIFO that is written to: its bytes are the kernel's alone, and it tells
 *    FUSE nothing.
 *  - chown(-1, -1) of somebody else's program with set-user-ID: EPERM natively. The kernel asks
 *    FUSE for it in the same words as when a write is about to take the bit away, so ours answers
 *    0, and leaves the bit.
 *  - Times where the kernel's clock for them is coarse: that a change left them as they were means
 *    nothing on a native filesystem before Linux 6.13; with FUSE's writeback cache (where the
 *    kernel sends its own times some time later) changes are not compared at all.
 */
#include "model/compare.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

static void differ(struct verdict *v, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void differ(struct verdict *v, const char *what, const char *fmt, ...)
{
	va_list ap;

	if (v->differs)
		return;
	v->differs = true;
	(void)snprintf(v->what, sizeof(v->what), "%s", what);
	va_start(ap, fmt);
	(void)vsnprintf(v->detail, sizeof(v->detail), fmt, ap);
	va_end(ap);
}

/* ---- files changed through mappings ---- */

static bool is_dirty(const struct dirty *d, uint64_t ino)
{
	for (size_t n = 0; n < d->count; n++)
		if (d->inos[n] == ino)
			return true;
	return d->all;
}

static void add_dirty(struct dirty *d, uint64_t ino)
{
	if (is_dirty(d, ino))
		return;
	if (d->count == DIRTY_MAX)
		d->all = true;
	else
		d->inos[d->count++] = ino;
}

static void drop_dirty(struct dirty *d, uint64_t ino)
{
	for (size_t n = 0; n < d->count; n++)
		if (d->inos[n] == ino) {
			d->inos[n] = d->inos[--d->count];
			return;
		}
}

/* Before the comparison: what this step makes uncertain. After it: what it makes certain again. */
static void follow_mappings(struct compare *c, const struct op *op, const struct result *ours,
			    bool before)
{
	uint64_t *mapped = &c->mapped[op->actor][op->slot2];
	uint64_t ino = ours->after[SEEN_FILE].ino;

	if (before && op->kind == OP_MWRITE && *mapped)
		add_dirty(&c->dirty, *mapped);
	if (before || ours->ret < 0)
		return;
	if (op->kind == OP_MMAP)
		*mapped = op->flags & 1 ? ino : 0;
	else if (op->kind == OP_MUNMAP)
		*mapped = 0;
	else if (op->kind == OP_FSYNC)
		drop_dirty(&c->dirty, ino);
}

/* ---- times ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

struct pair { /* one thing, seen on one side before and after */
	const struct seen *before, *after;
};

static bool is_same_file(const struct pair *p)
{
	return p->before->err == 0 && p->after->err == 0 && p->before->ino == p->after->ino;
}

static void compare_change(const struct compare *c, const char *which, bool ours, bool native,
			   const char *seen, struct verdict *v)
{
	if (ours == native || c->ours_coarse || (ours && c->native_coarse))
		return;
	differ(v, which, "%s of %s %s, natively it %s", which, seen,
	       ours ? "changed" : "did not change", native ? "changed" : "did not");
}

/* Whether the step sets the times of this by hand. What it follows on the way is only read. */
static bool sets_times(const struct op *op, unsigned n)
{
	if (op->kind == OP_FUTIMENS)
		return n == SEEN_FILE;
	return op->kind == OP_UTIMENS && n == (op->flags ? SEEN_PATH : SEEN_TARGET);
}

static bool writes_bytes(const struct op *op)
{
	return op->kind == OP_WRITE || op->kind == OP_WRITEV || op->kind == OP_PWRITE;
}

/* Where the native side took on a time set by hand, ours did. */
static void compare_set(const char *which, int64_t wanted, const struct timespec *native,
			const struct timespec *ours, const char *seen, struct verdict *v)
{
	struct timespec t = { .tv_sec = wanted / 1000000000, .tv_nsec = wanted % 1000000000 };

	if (wanted >= 0 && same_time(&t, native) && !same_time(&t, ours))
		differ(v, which, "%s of %s was set to %lld.%09ld, but is %lld.%09ld", which, seen,
		       (long long)t.tv_sec, t.tv_nsec, (long long)ours->tv_sec, ours->tv_nsec);
}

static void compare_times(const struct compare *c, const struct op *op, unsigned n,
			  const struct pair *ours, const struct pair *native, struct verdict *v)
{
	const char *seen = seen_names[n];

	if (is_dirty(&c->dirty, ours->after->ino) ||
	    (S_ISFIFO(ours->after->mode) && writes_bytes(op)))
		return;
	compare_change(c, "mtime", !same_time(&ours->before->mtime, &ours->after->mtime),
		       !same_time(&native->before->mtime, &native->after->mtime), seen, v);
	compare_change(c, "ctime", !same_time(&ours->before->ctime, &ours->after->ctime),
		       !same_time(&native->before->ctime, &native->after->ctime), seen, v);
	if (!sets_times(op, n))
		return;
	compare_set("atime", op->off, &native->after->atime, &ours->after->atime, seen, v);
	compare_set("mtime", op->off2, &native->after->mtime, &ours->after->mtime, seen, v);
}

/* ---- attributes ---- */

static void compare_number(const char *what, uint64_t ours, uint64_t native, const char *seen,
			   bool octal, struct verdict *v)
{
	if (ours == native)
		return;
	differ(v, what,
	       octal ? "%s of %s: ours %#llo, native %#llo" : "%s of %s: ours %llu, native %llu",
	       what, seen, (unsigned long long)ours, (unsigned long long)native);
}

static void compare_attributes(const struct seen *ours, const struct seen *native, const char *seen,
			       struct verdict *v)
{
	if (ours->err != native->err) {
		differ(v, "stat", "%s: ours %s, native %s", seen,
		       ours->err ? strerror(ours->err) : "is there",
		       native->err ? strerror(native->err) : "is there");
		return;
	}
	if (ours->err != 0)
		return;
	compare_number("mode", ours->mode, native->mode, seen, true, v);
	compare_number("nlink", ours->nlink, native->nlink, seen, false, v);
	compare_number("uid", ours->uid, native->uid, seen, false, v);
	compare_number("gid", ours->gid, native->gid, seen, false, v);
	compare_number("rdev", ours->rdev, native->rdev, seen, false, v);
	if (!S_ISDIR(native->mode))
		compare_number("size", ours->size, native->size, seen, false, v);
}

static void compare_seen(const struct compare *c, const struct op *op, const struct result *ours,
			 const struct result *native, struct verdict *v)
{
	for (unsigned n = 0; n < SEEN_MAX && !v->differs; n++) {
		struct pair o = { &ours->before[n], &ours->after[n] };
		struct pair t = { &native->before[n], &native->after[n] };

		compare_attributes(o.before, t.before, seen_names[n], v);
		compare_attributes(o.after, t.after, seen_names[n], v);
		if (v->differs)
			return;
		if (is_same_file(&o) != is_same_file(&t))
			differ(v, "identity", "%s is %s file, natively %s", seen_names[n],
			       is_same_file(&o) ? "the same" : "another",
			       is_same_file(&t) ? "the same" : "another");
		if (is_same_file(&o) && !v->differs)
			compare_times(c, op, n, &o, &t, v);
	}
}

/* ---- results ---- */

static const char *said(const struct result *r, char *buf, size_t size)
{
	if (r->ret < 0)
		(void)snprintf(buf, size, "%s", strerrorname_np(r->err));
	else
		(void)snprintf(buf, size, "%lld", (long long)r->ret);
	return buf;
}

static void compare_bytes(const struct result *ours, const struct result *native, struct verdict *v)
{
	size_t n = 0, len = ours->out_len < native->out_len ? ours->out_len : native->out_len;

	while (n < len && ours->out[n] == native->out[n])
		n++;
	if (n < len)
		differ(v, "bytes", "byte %zu of %zu: ours %#x, native %#x (%.40s, %.40s)", n, len,
		       ours->out[n], native->out[n], (const char *)ours->out + n,
		       (const char *)native->out + n);
	else if (ours->out_len != native->out_len)
		differ(v, "bytes", "%zu bytes, natively %zu", ours->out_len, native->out_len);
}

/* See above: chown(-1, -1). */
static bool is_empty_chown(const struct op *op, const struct result *ours,
			   const struct result *native)
{
	return (op->kind == OP_CHOWN || op->kind == OP_FCHOWN) && op->off == -1 && op->off2 == -1 &&
	       op->user != 0 && ours->ret == 0 && native->ret < 0 && native->err == EPERM;
}

static void compare_results(const struct result *ours, const struct result *native,
			    struct verdict *v)
{
	char a[48], b[48];

	if (ours->note[0])
		differ(v, "wrong", "ours: %s", ours->note);
	if (native->note[0])
		differ(v, "wrong", "native: %s", native->note);
	if (ours->ret != native->ret || ours->err != native->err)
		differ(v, "result", "ours %s, native %s", said(ours, a, sizeof(a)),
		       said(native, b, sizeof(b)));
	if (!v->differs)
		compare_bytes(ours, native, v);
}

void compare_steps(struct compare *c, const struct op *op, const struct result *ours,
		   const struct result *native, struct verdict *ret)
{
	*ret = (struct verdict){ .differs = false };
	follow_mappings(c, op, ours, true);
	if (is_empty_chown(op, ours, native)) {
		for (unsigned n = 0; n < SEEN_MAX; n++)
			compare_attributes(&ours->after[n], &native->after[n], seen_names[n], ret);
		return;
	}
	compare_results(ours, native, ret);
	compare_seen(c, op, ours, native, ret);
	follow_mappings(c, op, ours, false);
}

/* ---- trees ---- */

static size_t line_length(const char *s)
{
	return strcspn(s, "\n");
}

void compare_trees(const struct tree *a, const struct tree *b, const char *what,
		   struct verdict *ret)
{
	const char *x = a->text, *y = b->text;

	*ret = (struct verdict){ .differs = false };
	if (a->overflow || b->overflow) {
		differ(ret, "tree", "%s: the tree is too large to compare", what);
		return;
	}
	while (*x && *y) {
		size_t lx = line_length(x), ly = line_length(y);

		if (lx != ly || memcmp(x, y, lx) != 0)
			break;
		x += lx + (x[lx] == '\n');
		y += ly + (y[ly] == '\n');
	}
	if (*x || *y)
		differ(ret, "tree", "%s:\n  %.*s\n  %.*s", what,
		       (int)(line_length(x) < 220 ? line_length(x) : 220), x,
		       (int)(line_length(y) < 220 ? line_length(y) : 220), y);
}
