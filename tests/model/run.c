/* SPDX-License-Identifier: BSD-3-Clause */
/* Running a list of steps on both sides. */
#include "model/run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { OURS, NATIVE, SIDES };

struct run {
	const struct run_config *config;
	char dir[SIDES][4096];
	struct worker *worker[SIDES][OP_ACTORS];
	struct compare compare;
	const struct run_source *source;
};

/* ---- folders ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static bool make_folder(struct run *r, unsigned side, const char *base)
{
	static unsigned number;

	(void)snprintf(r->dir[side], sizeof(r->dir[side]), "%s/model.%ld.%u", base, (long)getpid(),
		       number++);
	/* Writable for all, or two of the three users could do little. */
	if (mkdir(r->dir[side], 0777) < 0 || chmod(r->dir[side], 0777) < 0) {
		perror(r->dir[side]);
		return false;
	}
	return true;
}

static void remove_folders(struct run *r)
{
	for (unsigned s = 0; s < SIDES; s++)
		if (r->dir[s][0])
			(void)nftw(r->dir[s], remove_one, 64, FTW_DEPTH | FTW_PHYS);
}

/* ---- processes ---- */

static bool start_workers(struct run *r)
{
	for (unsigned s = 0; s < SIDES; s++)
		for (unsigned a = 0; a < OP_ACTORS; a++) {
			r->worker[s][a] = worker_start(r->dir[s]);
			if (!r->worker[s][a])
				return false;
		}
	return true;
}

static bool stop_workers(struct run *r)
{
	bool ok = true;

	for (unsigned s = 0; s < SIDES; s++)
		for (unsigned a = 0; a < OP_ACTORS; a++) {
			if (r->worker[s][a] && !worker_stop(r->worker[s][a]))
				ok = false;
			r->worker[s][a] = NULL;
		}
	return ok;
}

static void kill_workers(struct run *r)
{
	for (unsigned s = 0; s < SIDES; s++)
		for (unsigned a = 0; a < OP_ACTORS; a++) {
			worker_kill(r->worker[s][a]);
			r->worker[s][a] = NULL;
		}
}

static void failed(struct verdict *v, const char *what, const char *detail)
{
	v->differs = true;
	(void)snprintf(v->what, sizeof(v->what), "%s", what);
	(void)snprintf(v->detail, sizeof(v->detail), "%s", detail);
}

/* ---- steps ---- */

static void do_step(struct run *r, const struct op *op, struct verdict *v)
{
	struct result *result[SIDES];
	bool ok = true;

	for (unsigned s = 0; s < SIDES; s++) {
		struct op copy = *op;

		copy.omitted = s == OURS && r->config->omit && r->config->omit(op);
		worker_begin(r->worker[s][op->actor], &copy);
	}
	for (unsigned s = 0; s < SIDES && ok; s++)
		ok = worker_end(r->worker[s][op->actor], &result[s]);
	if (!ok)
		failed(v, "died", "the process died, or the step never returned");
	else
		compare_steps(&r->compare, op, result[OURS], result[NATIVE], v);
	if (ok && r->source)
		r->source->told(r->source->ctx, op, result[NATIVE]);
	if (ok && r->config->stats)
		(result[OURS]->ret < 0 ? r->config->stats->refused
				       : r->config->stats->done)[op->kind]++;
}

static void do_check(struct run *r, struct verdict *v)
{
	const struct tree *ours = worker_tree(r->worker[OURS][0], false);
	const struct tree *native = ours ? worker_tree(r->worker[NATIVE][0], false) : NULL;

	if (!native)
		failed(v, "died", "the process died, or looking at the tree never returned");
	else
		compare_trees(ours, native, "trees (ours, native)", v);
}

/* ---- remounts ---- */

/* Everything stored: fsync of the root folder of the mount. */
static bool sync_ours(const struct run *r)
{
	int fd = open(r->config->ours, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return ok;
}

static bool command(const char *line, const char *how)
{
	char buf[4096];
	int status;

	(void)snprintf(buf, sizeof(buf), "%s %s", line, how);
	status = system(buf); // NOLINT(cert-env33-c): it is the caller's own
	return status == 0;
}

static struct tree *copy_tree(const struct tree *t)
{
	struct tree *copy = t ? malloc(sizeof(*copy)) : NULL;

	if (copy) {
		copy->len = t->len;
		copy->overflow = t->overflow;
		memcpy(copy->text, t->text, t->len + 1);
	}
	return copy;
}

static bool remount(struct run *r, enum remount how, struct verdict *v)
{
	if (!stop_workers(r))
		failed(v, "store", "what was open could not be stored");
	else if (how == REMOUNT_KILL && !sync_ours(r))
		failed(v, "store", "fsync of the mountpoint failed");
	else if (!command(r->config->remount, remount_names[how]))
		failed(v, "remount", r->config->remount);
	else if (!start_workers(r))
		failed(v, "remount", "cannot go on after it");
	return !v->differs;
}

/* Afterwards ours is what it was, with all that is its own, and what the native side is. */
static void do_remount(struct run *r, const struct op *op, struct verdict *v)
{
	const struct tree *after;
	struct tree *before;

	if (!r->config->remount)
		return;
	/* Open files and mappings go first: closing may take unlinked ones along, and write. */
	if (!stop_workers(r) || !start_workers(r)) {
		failed(v, "store", "what was open could not be stored");
		return;
	}
	r->compare.dirty = (struct dirty){ .count = 0 };
	memset(r->compare.mapped, 0, sizeof(r->compare.mapped));
	before = copy_tree(worker_tree(r->worker[OURS][0], true));
	if (!before)
		failed(v, "died", "looking at the tree never returned");
	else if (remount(r, op->flags % REMOUNTS, v)) {
		after = worker_tree(r->worker[OURS][0], true);
		if (after)
			compare_trees(before, after, "remount changed ours (before, after)", v);
		else
			failed(v, "died", "looking at the tree never returned");
	}
	if (!v->differs)
		do_check(r, v);
	free(before);
}

static void do_one(struct run *r, const struct op *op, struct verdict *v)
{
	if (r->config->verbose) {
		(void)fputs("  ", stdout);
		op_print(stdout, op);
		(void)fflush(stdout);
	}
	if (op->kind == OP_CHECK)
		do_check(r, v);
	else if (op->kind == OP_REMOUNT)
		do_remount(r, op, v);
	else
		do_step(r, op, v);
}

long run_steps(const struct run_config *c, const struct run_source *source, struct op *ops,
	       size_t count, struct verdict *ret)
{
	struct run *r = calloc(1, sizeof(*r));
	long at = 0;

	*ret = (struct verdict){ .differs = false };
	if (!r || !make_folder(r, OURS, (r->config = c)->ours) ||
	    !make_folder(r, NATIVE, c->native) || !start_workers(r))
		failed(ret, "start", "cannot begin");
	if (r) {
		r->compare.ours_coarse = c->ours_coarse;
		r->compare.native_coarse = c->native_coarse;
	}
	if (r)
		r->source = source;
	for (; !ret->differs && at < (long)count; at++) {
		if (source)
			source->next(source->ctx, (size_t)at, &ops[at]);
		do_one(r, &ops[at], ret);
	}
	at = ret->differs ? at - 1 : -1;
	if (r && !ret->differs && !stop_workers(r))
		failed(ret, "store", "what was open could not be stored");
	if (r) {
		kill_workers(r);
		remove_folders(r);
	}
	free(r);
	return ret->differs && at < 0 ? (long)count : at;
}

/* ---- what both can do ---- */

static bool has_tmpfile(const char *dir)
{
	int fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static bool has_shift(int fd)
{
	char block[8192] = "";

	return pwrite(fd, block, sizeof(block), 0) == sizeof(block) &&
	       fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0;
}

static bool has_big_xattr(int fd)
{
	char *value = calloc(1, 60000);
	bool ok = value && fsetxattr(fd, "user.probe", value, 60000, 0) == 0;

	free(value);
	return ok;
}

/* Whether each of a few changes at once moves ctime. */
static bool has_fine_times(int fd)
{
	struct stat a, b;

	for (unsigned n = 0; n < 20; n++)
		if (fstat(fd, &a) < 0 || fchmod(fd, 0600 + n % 2) < 0 || fstat(fd, &b) < 0 ||
		    (a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
		     a.st_ctim.tv_nsec == b.st_ctim.tv_nsec))
			return false;
	return true;
}

static bool probe(const char *dir, struct features *f, bool *ret_coarse)
{
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/model.probe.%ld", dir, (long)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(path);
		return false;
	}
	f->tmpfile = f->tmpfile && has_tmpfile(dir);
	f->shift = f->shift && has_shift(fd);
	f->big_xattr = f->big_xattr && has_big_xattr(fd);
	*ret_coarse = !has_fine_times(fd);
	(void)close(fd);
	(void)unlink(path);
	return true;
}

bool run_probe(struct run_config *c, struct features *ret)
{
	*ret = (struct features){ .tmpfile = true, .shift = true, .big_xattr = true };
	return probe(c->ours, ret, &c->ours_coarse) && probe(c->native, ret, &c->native_coarse);
}
