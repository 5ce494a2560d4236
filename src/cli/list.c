/* SPDX-License-Identifier: BSD-3-Clause */
/* ls and cat: looking into a filesystem without mounting it. */
#include "cli/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (4 * MIB)

void cli_ls_help(FILE *out)
{
	(void)fputs("usage: levels3fs ls URL [PATH…] [-l] [-R] [--json] [-o OPTION[,OPTION]…]\n\n"
		    "Lists folders of a filesystem that need not be mounted here, and may be "
		    "mounted elsewhere: what is\n"
		    "shown is its newest stored state. Paths start at the filesystem's root, "
		    "which is also the default.\n\n"
		    "  -l, --long             with mode, links, owner, size and time\n"
		    "  -R, --recursive        and all folders below\n"
		    "  --json                 each entry as a JSON object on a line\n"
		    "  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		    "Exit status: 0; 1 something could not be read, or wrong usage.\n",
		    out);
}

void cli_cat_help(FILE *out)
{
	(void)fputs("usage: levels3fs cat URL PATH… [-o OPTION[,OPTION]…]\n\n"
		    "Writes files of a filesystem that need not be mounted to the standard "
		    "output: what is read is its\n"
		    "newest stored state.\n\n"
		    "  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		    "Exit status: 0; 1 something could not be read, or wrong usage.\n",
		    out);
}

/* ---- ls ---- */

struct lister {
	struct fs *fs;
	bool is_long, json, recursive, titles, some;
	int code;
};

static int trouble(const char *path, int err)
{
	return cli_say_error(EXIT_FAILED, err, path);
}

static void print_mode(uint32_t mode, char out[11])
{
	static const char types[] = "?pc?d?b?-?l?s???";

	out[0] = types[(mode & S_IFMT) >> 12];
	for (int i = 0; i < 9; i++)
		out[i + 1] = mode & (0400u >> i) ? "rwxrwxrwx"[i] : '-';
	if (mode & S_ISUID)
		out[3] = out[3] == 'x' ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = out[6] == 'x' ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = out[9] == 'x' ? 't' : 'T';
	out[10] = '\0';
}

static void print_target(const struct lister *l, uint64_t ino)
{
	struct buf target CLEANUP(buf_release) = BUF_INIT;

	if (fs_readlink(l->fs, ino, &target) >= 0)
		(void)printf(" -> %s", buf_cstr(&target));
}

/* The path of an entry in a folder; of what is listed itself there is none. */
static int path_of(const char *folder, const char *name, struct buf *out)
{
	size_t len = folder ? strlen(folder) : 0;

	buf_reset(out);
	if (folder)
		buf_add_str(out, folder);
	if (folder && (len == 0 || folder[len - 1] != '/'))
		buf_add_str(out, "/");
	buf_add_str(out, name);
	return buf_error(out);
}

static void print_json(const struct lister *l, const char *folder, const char *name,
		       const struct fs_attr *a)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;

	if (path_of(folder, name, &text) < 0)
		return;
	(void)printf("{\"path\": ");
	cli_json_string(stdout, buf_cstr(&text));
	(void)printf(", \"type\": \"%s\", \"inode\": %llu, \"mode\": \"%04o\", \"links\": %u, "
		     "\"uid\": %u, \"gid\": %u, \"size\": %llu, \"mtime\": %lld.%09ld",
		     cli_type_name(a->mode), (unsigned long long)a->ino, a->mode & 07777, a->nlink,
		     a->uid, a->gid, (unsigned long long)a->size, (long long)a->mtime.tv_sec,
		     a->mtime.tv_nsec);
	buf_reset(&text);
	if (S_ISLNK(a->mode) && fs_readlink(l->fs, a->ino, &text) >= 0) {
		(void)printf(", \"target\": ");
		cli_json_string(stdout, buf_cstr(&text));
	}
	(void)puts("}");
}

static void print_entry(const struct lister *l, const char *folder, const char *name,
			const struct fs_attr *a)
{
	char mode[11], when[32] = "?", size[48];
	struct tm tm;

	if (l->json) {
		print_json(l, folder, name, a);
		return;
	}
	if (!l->is_long) {
		(void)puts(name);
		return;
	}
	print_mode(a->mode, mode);
	if (localtime_r(&a->mtime.tv_sec, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	(void)snprintf(size, sizeof(size), "%llu", (unsigned long long)a->size);
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode))
		(void)snprintf(size, sizeof(size), "%u, %u", major(a->rdev), minor(a->rdev));
	(void)printf("%s %3u %5u %5u %12s %s %s", mode, a->nlink, a->uid, a->gid, size, when, name);
	if (S_ISLNK(a->mode))
		print_target(l, a->ino);
	(void)putchar('\n');
}

static void list_folder(struct lister *l, const char *path, uint64_t ino);

static void list_below(struct lister *l, const char *path, const struct cli_names *names)
{
	struct buf below CLEANUP(buf_release) = BUF_INIT;

	for (size_t i = 0; i < names->count; i++) {
		if (!S_ISDIR(names->at[i].attr.mode))
			continue;
		if (path_of(path, names->at[i].name, &below) < 0)
			l->code = trouble(path, -ENOMEM);
		else
			list_folder(l, buf_cstr(&below), names->at[i].attr.ino);
	}
}

static void list_folder(struct lister *l, const char *path,
			uint64_t ino) // NOLINT(misc-no-recursion)
{
	struct cli_names names;
	int err = cli_names_read(l->fs, ino, &names);

	if (err < 0) {
		l->code = trouble(path, err);
		return;
	}
	if (l->titles && !l->json)
		(void)printf("%s%s:\n", l->some ? "\n" : "", path);
	l->some = true;
	for (size_t i = 0; i < names.count; i++)
		print_entry(l, path, names.at[i].name, &names.at[i].attr);
	if (l->recursive)
		list_below(l, path, &names);
	cli_names_release(&names);
}

static void list_path(struct lister *l, const char *path)
{
	struct fs_attr a;
	int err;

	err_clear();
	err = cli_path_find(l->fs, path, !l->is_long && !l->json, &a);
	if (err < 0) {
		l->code = trouble(path, err);
	} else if (S_ISDIR(a.mode)) {
		list_folder(l, path, a.ino);
	} else {
		print_entry(l, NULL, path, &a);
		l->some = true;
	}
}

static int list_paths(struct cli_url *u)
{
	struct lister l = { .is_long = u->flags & cli_flag('l'),
			    .json = u->flags & cli_flag('j'),
			    .recursive = u->flags & cli_flag('R') };
	int code = cli_url_open(u, EXIT_FAILED, &l.fs);

	if (code)
		return code;
	l.titles = l.recursive || u->rest_count > 1;
	for (int i = 0; i < u->rest_count; i++)
		list_path(&l, u->rest[i]);
	if (u->rest_count == 0)
		list_path(&l, "/");
	(void)fs_close(l.fs, NULL, NULL); /* read-only: nothing to store */
	return l.code;
}

const struct cli_options cli_ls_options = { "o:hlRj", cli_url_longs };

int cli_ls(int argc, char **argv)
{
	static const struct cli_url_verb verb = { .options = &cli_ls_options,
						  .help = cli_ls_help,
						  .run = list_paths };

	return cli_url_run(argc, argv, &verb);
}

/* ---- cat ---- */

static int write_all(const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n < 0 && errno != EINTR)
			return err_note(-errno, "writing to the standard output: %s",
					strerror(errno));
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int cat_file(struct fs *fs, const char *path, uint8_t *bytes)
{
	struct fs_file *f = NULL;
	struct fs_attr a;
	uint64_t at = 0;
	ssize_t n;

	err_clear();
	n = cli_path_find(fs, path, true, &a);
	if (n >= 0 && !S_ISREG(a.mode))
		n = S_ISDIR(a.mode) ? -EISDIR : err_note(-EINVAL, "not a regular file");
	if (n >= 0)
		n = fs_file_open(fs, a.ino, false, false, &f);
	while (n >= 0 && (n = fs_read(f, bytes, READ_BYTES, at)) > 0) {
		int err = write_all(bytes, (size_t)n);

		at += (uint64_t)n;
		n = err < 0 ? err : n;
	}
	if (f)
		fs_file_close(f);
	return n < 0 ? trouble(path, (int)n) : 0;
}

static int cat_files(struct cli_url *u)
{
	uint8_t *bytes CLEANUP(free_ptr) = malloc(READ_BYTES);
	struct fs *fs;
	int code;

	if (u->rest_count == 0)
		return cli_say(EXIT_FAILED, "cat needs a path: levels3fs cat URL PATH…");
	if (!bytes)
		return cli_say_error(EXIT_FAILED, -ENOMEM, "cat");
	code = cli_url_open(u, EXIT_FAILED, &fs);
	if (code)
		return code;
	for (int i = 0; i < u->rest_count; i++)
		code |= cat_file(fs, u->rest[i], bytes);
	(void)fs_close(fs, NULL, NULL);
	return code;
}

const struct cli_options cli_cat_options = { "o:h", cli_url_longs };

int cli_cat(int argc, char **argv)
{
	static const struct cli_url_verb verb = { .options = &cli_cat_options,
						  .help = cli_cat_help,
						  .run = cat_files };

	return cli_url_run(argc, argv, &verb);
}
