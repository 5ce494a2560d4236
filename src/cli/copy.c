/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cp: files and folders out of a filesystem that need not be mounted, as cp -a copies: modes,
 * times, links, extended attributes and holes; owners for root.
 *
 * Everything is made relative to an open folder and never through a symbolic link, so that what a
 * bucket says cannot write outside the destination.
 */
#include "cli/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef HASH_NONFATAL_OOM
#define HASH_NONFATAL_OOM 1 /* a failed HASH_ADD leaves hh.tbl NULL */
#endif
#include <uthash.h>

#define COPY_BYTES (4 * MIB)

struct linked { /* a file with several names, by where its first one was made */
	uint64_t ino;
	char *path; /* from the destination */
	UT_hash_handle hh;
};

struct copier {
	struct fs *fs;
	uint8_t *bytes;
	struct buf path; /* of what is being copied, from the destination */
	int top;	 /* the destination */
	bool is_root;
	struct linked *links;
	uint64_t files, copied_bytes;
	struct cli_progress progress;
	int code;
};

void cli_cp_help(FILE *out)
{
	(void)fputs("usage: levels3fs cp URL PATH… DEST [-o OPTION[,OPTION]…]\n\n"
		    "Copies files and whole folders out of a filesystem that need not be mounted, "
		    "into the folder DEST\n"
		    "here; what is read is its newest stored state. Modes, times, links, extended "
		    "attributes and holes\n"
		    "are kept, owners if root copies. What is there already is not overwritten.\n\n"
		    "  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		    "Exit status: 0; 1 something could not be copied, or wrong usage.\n",
		    out);
}

static void trouble(struct copier *c, int err)
{
	cli_progress_clear(&c->progress);
	c->code = cli_say_error(EXIT_FAILED, err, buf_cstr(&c->path));
}

static int local_error(const char *what)
{
	return err_note(-errno, "%s: %s", what, strerror(errno));
}

/* ---- attributes ---- */

/* Of an open file or folder; what this filesystem does not take is said and left out. */
static int copy_xattrs(struct copier *c, uint64_t ino, int fd)
{
	struct buf names CLEANUP(buf_release) = BUF_INIT, value CLEANUP(buf_release) = BUF_INIT;
	int err = fs_listxattr(c->fs, ino, &names);

	for (size_t at = 0; err >= 0 && at < names.len; at += strlen((char *)names.data + at) + 1) {
		const char *name = (const char *)names.data + at;

		buf_reset(&value);
		err = fs_getxattr(c->fs, ino, name, &value);
		if (err >= 0 && fsetxattr(fd, name, value.data, value.len, 0) < 0) {
			cli_progress_clear(&c->progress);
			(void)cli_say(0, "%s: attribute %s is left out: %s", buf_cstr(&c->path),
				      name, strerror(errno));
		}
	}
	return err < 0 ? err : 0;
}

/* The mode last but for the times: it may forbid what comes before, and changing the owner changes
 * it. */
static int settle(struct copier *c, const struct fs_attr *a, int fd)
{
	const struct timespec times[2] = { a->atime, a->mtime };
	int err;

	if (c->is_root && fchown(fd, a->uid, a->gid) < 0)
		return local_error("its owner");
	err = copy_xattrs(c, a->ino, fd);
	if (err < 0)
		return err;
	if (fchmod(fd, a->mode & 07777) < 0)
		return local_error("its mode");
	return futimens(fd, times) < 0 ? local_error("its times") : 0;
}

static int settle_name(struct copier *c, const struct fs_attr *a, int dir, const char *name)
{
	const struct timespec times[2] = { a->atime, a->mtime };

	if (c->is_root && fchownat(dir, name, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return local_error("its owner");
	if (!S_ISLNK(a->mode) && fchmodat(dir, name, a->mode & 07777, 0) < 0)
		return local_error("its mode");
	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? local_error("its times") : 0;
}

/* ---- bytes ---- */

static int write_at(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return local_error("writing");
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
			offset += (uint64_t)n;
		}
	}
	return 0;
}

static int copy_stretch(struct copier *c, struct fs_file *f, int fd, uint64_t start, uint64_t end)
{
	char size[SIZE_STR_LEN], count[CLI_COUNTED_LEN];

	while (start < end) {
		ssize_t n = fs_read(f, c->bytes, min_u64(end - start, COPY_BYTES), start);
		int err = n > 0 ? write_at(fd, c->bytes, (size_t)n, start) : (int)n;

		if (n <= 0 || err < 0)
			return err;
		start += (uint64_t)n;
		c->copied_bytes += (uint64_t)n;
		cli_progress(&c->progress, "%s, %s: %s",
			     cli_counted(c->files, "file", "files", count),
			     format_size(c->copied_bytes, size), buf_cstr(&c->path));
	}
	return 0;
}

static int copy_bytes(struct copier *c, const struct fs_attr *a, struct fs_file *f, int fd)
{
	uint64_t at = 0;
	int err = ftruncate(fd, (off_t)a->size) < 0 ? local_error("its size") : 0;

	while (err >= 0 && at < a->size) {
		int64_t start = fs_lseek(f, at, SEEK_DATA), end;

		if (start == -ENXIO)
			break; /* a hole up to the end */
		end = start < 0 ? start : fs_lseek(f, (uint64_t)start, SEEK_HOLE);
		if (end < 0)
			return (int)end;
		err = copy_stretch(c, f, fd, (uint64_t)start, (uint64_t)end);
		at = (uint64_t)end;
	}
	return err;
}

static int copy_file(struct copier *c, const struct fs_attr *a, int dir, const char *name)
{
	int fd CLEANUP(close_fd) = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct fs_file *f;
	int err;

	if (fd < 0)
		return local_error("cannot be made");
	err = fs_file_open(c->fs, a->ino, false, false, &f);
	if (err < 0)
		return err;
	err = copy_bytes(c, a, f, fd);
	fs_file_close(f);
	return err < 0 ? err : settle(c, a, fd);
}

/* ---- other kinds ---- */

static int copy_symlink(struct copier *c, const struct fs_attr *a, int dir, const char *name)
{
	struct buf target CLEANUP(buf_release) = BUF_INIT;
	int err = fs_readlink(c->fs, a->ino, &target);

	if (err < 0)
		return err;
	if (symlinkat(buf_cstr(&target), dir, name) < 0)
		return local_error("cannot be made");
	return settle_name(c, a, dir, name);
}

static int copy_special(struct copier *c, const struct fs_attr *a, int dir, const char *name)
{
	if (mknodat(dir, name, (a->mode & S_IFMT) | 0600, a->rdev) < 0)
		return local_error("cannot be made");
	return settle_name(c, a, dir, name);
}

/* A second name of what was copied: 1 if it was made so. */
static int copy_link(struct copier *c, const struct fs_attr *a, int dir, const char *name)
{
	struct linked *l;

	if (a->nlink < 2)
		return 0;
	HASH_FIND(hh, c->links, &a->ino, sizeof(a->ino), l);
	if (l)
		return linkat(c->top, l->path, dir, name, 0) < 0 ? local_error("cannot be linked")
								 : 1;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->ino = a->ino;
	l->path = strdup(buf_cstr(&c->path));
	if (l->path)
		HASH_ADD(hh, c->links, ino, sizeof(l->ino), l);
	if (!l->path || !l->hh.tbl) {
		free(l->path);
		free(l);
		return -ENOMEM;
	}
	return 0;
}

static void copy_any(struct copier *c, const struct fs_attr *a, int dir, const char *name);

static int copy_folder(struct copier *c, const struct fs_attr *a, int dir,
		       const char *name) // NOLINT(misc-no-recursion)
{
	int fd CLEANUP(close_fd) = -1;
	struct cli_names names;
	int err;

	if (mkdirat(dir, name, 0700) < 0)
		return local_error("cannot be made");
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return local_error("cannot be opened");
	err = cli_names_read(c->fs, a->ino, &names);
	if (err < 0)
		return err;
	for (size_t i = 0; i < names.count; i++)
		copy_any(c, &names.at[i].attr, fd, names.at[i].name);
	cli_names_release(&names);
	return settle(c, a, fd);
}

static int copy_kind(struct copier *c, const struct fs_attr *a, int dir,
		     const char *name) // NOLINT(misc-no-recursion)
{
	int err;

	if (S_ISDIR(a->mode))
		return copy_folder(c, a, dir, name);
	err = copy_link(c, a, dir, name);
	if (err != 0)
		return err;
	if (S_ISREG(a->mode))
		return copy_file(c, a, dir, name);
	if (S_ISLNK(a->mode))
		return copy_symlink(c, a, dir, name);
	return copy_special(c, a, dir, name);
}

/* Says what went wrong, and goes on. */
static void copy_any(struct copier *c, const struct fs_attr *a, int dir,
		     const char *name) // NOLINT(misc-no-recursion)
{
	size_t len = c->path.len;
	int err;

	if (len > 0)
		buf_add_str(&c->path, "/");
	buf_add_str(&c->path, name);
	err_clear();
	err = copy_kind(c, a, dir, name);
	if (err < 0)
		trouble(c, err);
	else
		c->files++;
	c->path.len = len;
}

/* ---- the verb ---- */

static const char *last_name(const char *path)
{
	const char *end = path + strlen(path), *start;

	while (end > path && end[-1] == '/')
		end--;
	for (start = end; start > path && start[-1] != '/'; start--)
		;
	return start;
}

static int copy_entries(struct copier *c, uint64_t dir)
{
	struct cli_names names;
	int err = cli_names_read(c->fs, dir, &names);

	if (err < 0)
		return err;
	for (size_t i = 0; i < names.count; i++)
		copy_any(c, &names.at[i].attr, c->top, names.at[i].name);
	cli_names_release(&names);
	return 0;
}

/* "/", ".", "..": what is in it is copied, for want of a name. */
static bool is_nameless(const char *name)
{
	return !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void copy_path(struct copier *c, const char *path)
{
	char name[FS_NAME_MAX + 1];
	const char *last = last_name(path);
	struct fs_attr a;
	int err;

	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(last, "/"), last);
	err_clear();
	err = cli_path_find(c->fs, path, false, &a);
	if (err >= 0 && is_nameless(name))
		err = copy_entries(c, a.ino);
	else if (err >= 0)
		copy_any(c, &a, c->top, name);
	if (err < 0)
		c->code = cli_say_error(EXIT_FAILED, err, path);
}

static void copier_release(struct copier *c)
{
	struct linked *l, *next;

	HASH_ITER (hh, c->links, l, next) {
		HASH_DEL(c->links, l);
		free(l->path);
		free(l);
	}
	buf_release(&c->path);
	free(c->bytes);
	close_fd(&c->top);
}

static int copy_paths(struct cli_url *u, struct copier *c, const char *dest)
{
	char size[SIZE_STR_LEN];
	int code;

	c->top = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->top < 0)
		return cli_say(EXIT_FAILED, "%s is no folder to copy into: %s", dest,
			       strerror(errno));
	code = cli_url_open(u, EXIT_FAILED, &c->fs);
	if (code)
		return code;
	for (int i = 0; i < u->rest_count - 1; i++)
		copy_path(c, u->rest[i]);
	(void)fs_close(c->fs, NULL, NULL); /* read-only: nothing to store */
	cli_progress_clear(&c->progress);
	(void)printf("%llu copied, %s of data\n", (unsigned long long)c->files,
		     format_size(c->copied_bytes, size));
	return c->code;
}

static int copy(struct cli_url *u)
{
	struct copier c = { .path = BUF_INIT, .top = -1, .is_root = geteuid() == 0 };
	int code;

	if (u->rest_count < 2)
		return cli_say(EXIT_FAILED,
			       "cp needs what and where to: levels3fs cp URL PATH… DEST");
	c.bytes = malloc(COPY_BYTES);
	code = c.bytes ? copy_paths(u, &c, u->rest[u->rest_count - 1])
		       : cli_say_error(EXIT_FAILED, -ENOMEM, "cp");
	copier_release(&c);
	return code;
}

const struct cli_options cli_cp_options = { "o:h", cli_url_longs };

int cli_cp(int argc, char **argv)
{
	static const struct cli_url_verb verb = { .options = &cli_cp_options,
						  .help = cli_cp_help,
						  .run = copy };

	return cli_url_run(argc, argv, &verb);
}
