/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the control socket is asked that may take long: each on a thread of its own, which may wait
 * for the store. The filesystem is not closed before they have gone; they go when it is unmounted,
 * or when nobody reads the answer.
 */
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_MS 200

struct inspection {
	struct daemon *daemon;
	struct fs *fs;
	void (*run)(struct inspection *i);
	int fd;
	uint64_t argument, next_ms; /* an inode; gc: flags */
};

static void say_number(struct inspection *i, const char *key, uint64_t value)
{
	(void)ctl_write(i->fd, "n %s %llu", key, (unsigned long long)value);
}

static void say_end(struct inspection *i, int err)
{
	if (err < 0)
		(void)ctl_write(i->fd, "s error %s",
				*err_last_note() ? err_last_note() : err_text(err));
	else
		(void)ctl_write(i->fd, "b done true");
}

static bool goes_on(void *ctx, uint64_t bytes, uint64_t files)
{
	struct inspection *i = ctx;
	uint64_t now = clock_mono_ms(&clock_system);

	if (now < i->next_ms)
		return true;
	i->next_ms = now + PROGRESS_MS;
	return daemon_state(i->daemon) == DAEMON_MOUNTED &&
	       ctl_write(i->fd, "p %llu %llu", (unsigned long long)bytes,
			 (unsigned long long)files) >= 0;
}

/* ---- the questions ---- */

static int say_object(void *ctx, const struct fs_object_info *o)
{
	struct inspection *i = ctx;

	return ctl_write(i->fd, "o %s %llu %llu %llu %llu %llu", o->key,
			 (unsigned long long)o->extents, (unsigned long long)o->compressed,
			 (unsigned long long)o->bytes, (unsigned long long)o->stored_bytes,
			 (unsigned long long)o->cached_bytes);
}

static void run_info(struct inspection *i)
{
	struct fs_file_info f;
	int err = fs_describe(i->fs, i->argument, say_object, i, &f);

	if (err >= 0) {
		say_number(i, "inode", f.attr.ino);
		say_number(i, "mode", f.attr.mode);
		say_number(i, "links", f.attr.nlink);
		say_number(i, "size", f.attr.size);
		say_number(i, "allocated_bytes", f.attr.blocks * 512);
		say_number(i, "extents", f.extents);
		say_number(i, "object_count", f.objects);
		say_number(i, "stored_bytes", f.stored_bytes);
		say_number(i, "cached_bytes", f.cached_bytes);
		say_number(i, "inline_bytes", f.inline_bytes);
		say_number(i, "unwritten_bytes", f.unwritten_bytes);
		say_number(i, "lost_bytes", f.lost_bytes);
		say_number(i, "unsaved_bytes", f.unsaved_bytes);
	}
	say_end(i, err);
}

static void run_summary(struct inspection *i)
{
	struct fs_watch watch = { goes_on, i };
	struct fs_summary s;
	int err = fs_summarize(i->fs, i->argument, &watch, &s);

	if (err >= 0) {
		say_number(i, "files", s.files);
		say_number(i, "folders", s.folders);
		say_number(i, "links", s.links);
		say_number(i, "others", s.others);
		say_number(i, "names", s.names);
		say_number(i, "size_bytes", s.size_bytes);
		say_number(i, "allocated_bytes", s.alloc_bytes);
	}
	say_end(i, err);
}

static void run_warmup(struct inspection *i)
{
	struct fs_watch watch = { goes_on, i };
	struct fs_warmed w;
	int err = fs_warm(i->fs, i->argument, &watch, &w);

	say_number(i, "files", w.files);
	say_number(i, "fetched_bytes", w.fetched_bytes);
	say_number(i, "held_bytes", w.held_bytes);
	(void)ctl_write(i->fd, "b full %s", w.full ? "true" : "false");
	say_end(i, err);
}

static bool gc_goes_on(void *ctx, const char *phase, const struct fs_gc_result *so_far)
{
	struct inspection *i = ctx;
	uint64_t now = clock_mono_ms(&clock_system);

	if (now < i->next_ms)
		return true;
	i->next_ms = now + PROGRESS_MS;
	return daemon_state(i->daemon) == DAEMON_MOUNTED &&
	       ctl_write(i->fd, "w %llu %llu %llu %s", (unsigned long long)so_far->found,
			 (unsigned long long)so_far->waiting, (unsigned long long)so_far->due_ms,
			 phase) >= 0;
}

static void run_gc(struct inspection *i)
{
	struct fs_gc_options options = { .dry_run = i->argument & CTL_GC_DRY_RUN,
					 .wait = i->argument & CTL_GC_WAIT,
					 .goes_on = gc_goes_on,
					 .ctx = i };
	struct fs_gc_result r;
	int err = fs_gc(i->fs, &options, &r);

	say_number(i, "found", r.found);
	say_number(i, "found_bytes", r.found_bytes);
	say_number(i, "rewrite", r.rewrite);
	say_number(i, "rewrite_bytes", r.rewrite_bytes);
	say_number(i, "in_use_bytes", r.in_use_bytes);
	say_number(i, "deleted", r.deleted);
	say_number(i, "deleted_bytes", r.deleted_bytes);
	say_number(i, "waiting", r.waiting);
	say_number(i, "waiting_bytes", r.waiting_bytes);
	say_number(i, "due_ms", r.due_ms);
	say_end(i, err);
}

/* ---- threads ---- */

static void *inspection_thread(void *arg)
{
	struct inspection *i = arg;

	i->run(i);
	daemon_leave(i->daemon);
	(void)close(i->fd);
	free(i);
	return NULL;
}

static bool start(struct inspection *i)
{
	pthread_t thread;

	i->fs = daemon_enter(i->daemon);
	if (!i->fs)
		return false;
	if (pthread_create(&thread, NULL, inspection_thread, i) != 0) {
		daemon_leave(i->daemon);
		return false;
	}
	(void)pthread_detach(thread);
	return true;
}

bool inspect_start(struct daemon *d, int fd, const char *line, bool *ret_kept)
{
	static const struct {
		const char *name;
		void (*run)(struct inspection *i);
	} known[] = { { "info ", run_info },
		      { "summary ", run_summary },
		      { "warmup ", run_warmup },
		      { "gc ", run_gc } };
	struct inspection *i;

	*ret_kept = false;
	for (size_t n = 0; n < ARRAY_LEN(known); n++) {
		size_t len = strlen(known[n].name);

		if (strncmp(line, known[n].name, len) != 0)
			continue;
		i = calloc(1, sizeof(*i));
		if (!i)
			return true;
		*i = (struct inspection){ .daemon = d, .fd = fd, .run = known[n].run };
		*ret_kept = parse_u64(line + len, &i->argument) >= 0 && start(i);
		if (!*ret_kept) {
			(void)ctl_write(
				fd, "s error it is being unmounted, or others are asking already");
			free(i);
		}
		return true;
	}
	return false;
}
