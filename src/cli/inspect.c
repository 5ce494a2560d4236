/* SPDX-License-Identifier: BSD-3-Clause */
/* info, summary, warmup: what the daemon of a mount knows of what is in it, and can do for it. */
#include "cli/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct inspecting {
	const char *verb;
	const char *path;
	bool json;
	struct cli_answer answer;
	FILE *objects; /* info: as they come */
	uint64_t object_count;
	struct cli_progress progress;
};

void cli_info_help(FILE *out)
{
	(void)fputs("usage: levels3fs info PATH [--json]\n\n"
		    "Says what a file in a mount is made of: inode, size, extents, and of each "
		    "object in the store that "
		    "holds\n"
		    "some of it how much that is, how much of that is compressed, and how much is "
		    "in the cache.\n\n"
		    "  --json                 as one JSON object\n\n"
		    "Exit status: 0; 1 PATH is in no mount, its process does not answer, or wrong "
		    "usage.\n",
		    out);
}

void cli_summary_help(FILE *out)
{
	(void)fputs("usage: levels3fs summary PATH [--json]\n\n"
		    "Counts what lies below a folder in a mount, as du and find do, but asks the "
		    "mount's process, "
		    "which\n"
		    "reads its database; nothing goes through the kernel, which keeps nothing of "
		    "it.\n\n"
		    "  --json                 as one JSON object\n\n"
		    "Exit status: 0; 1 PATH is in no mount, its process does not answer, or wrong "
		    "usage.\n",
		    out);
}

void cli_warmup_help(FILE *out)
{
	(void)fputs("usage: levels3fs warmup PATH… [--json]\n\n"
		    "Fetches into the cache what it lacks of these files, and of all files below "
		    "these folders. Begun "
		    "again, it\n"
		    "goes on where it was interrupted. It ends where the cache holds no more (-o "
		    "cache_size), and says so.\n\n"
		    "  --json                 for each PATH a JSON object on a line\n\n"
		    "Exit status: 0; 1 PATH is in no mount, something could not be read, or wrong "
		    "usage; 2 not all of it\n"
		    "is in the cache, which is too small.\n",
		    out);
}

/* ---- asking ---- */

static void take_object(struct inspecting *i, const char *line)
{
	uint64_t extents, compressed, bytes, stored, cached;
	char key[64], size[SIZE_STR_LEN], as[SIZE_STR_LEN], count[CLI_COUNTED_LEN];

	if (sscanf(line, "o %63s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, key,
		   &extents, &compressed, &bytes, &stored, &cached) != 6)
		return;
	if (!i->json) {
		(void)fprintf(i->objects,
			      "    %s  %s, %llu compressed; %s as %s, %.0f %% in the cache\n", key,
			      cli_counted(extents, "extent", "extents", count),
			      (unsigned long long)compressed, format_size(bytes, size),
			      format_size(stored, as),
			      stored ? 100.0 * (double)cached / (double)stored : 100.0);
		return;
	}
	(void)fprintf(i->objects, "%s\n    {\"key\": \"%s\", ", i->object_count++ ? "," : "", key);
	(void)fprintf(i->objects,
		      "\"extents\": %llu, \"compressed_extents\": %llu, \"bytes\": %llu, "
		      "\"stored_bytes\": %llu, "
		      "\"cached_bytes\": %llu}",
		      (unsigned long long)extents, (unsigned long long)compressed,
		      (unsigned long long)bytes, (unsigned long long)stored,
		      (unsigned long long)cached);
}

static int take_line(struct inspecting *i, const char *line)
{
	uint64_t bytes, files;
	char size[SIZE_STR_LEN], count[CLI_COUNTED_LEN];

	if (line[0] == 'o' && i->objects)
		take_object(i, line);
	else if (sscanf(line, "p %" SCNu64 " %" SCNu64, &bytes, &files) == 2)
		cli_progress(&i->progress, "%s, %s: %s", cli_counted(files, "file", "files", count),
			     format_size(bytes, size), i->path);
	else
		return cli_answer_add(&i->answer, line);
	return 0;
}

static int ask(struct inspecting *i)
{
	struct ctl_reader r = { .fd = -1 };
	char line[CTL_LINE_MAX];
	int err = cli_ask_inode(i->path, i->verb, &r.fd);

	while (err >= 0 && (err = ctl_read(&r, line, 0)) > 0)
		err = take_line(i, line);
	close_fd(&r.fd);
	cli_progress_clear(&i->progress);
	if (err == -ENODEV)
		return cli_say(EXIT_FAILED, "%s is in no levels3fs that is mounted here", i->path);
	if (err == -ENOENT && access(i->path, F_OK) < 0)
		return cli_say(EXIT_FAILED, "%s: %s", i->path, strerror(errno));
	if (err < 0)
		return cli_ask_failed(i->path, err);
	if (*cli_answer_text(&i->answer, "error"))
		return cli_say(EXIT_FAILED, "%s: %s", i->path,
			       cli_answer_text(&i->answer, "error"));
	if (!*cli_answer_text(&i->answer, "done"))
		return cli_say(EXIT_FAILED, "%s: the mount ended before the answer did", i->path);
	return 0;
}

/* ---- showing ---- */

static void print_json(const struct inspecting *i)
{
	(void)printf("{\"path\": ");
	cli_json_string(stdout, i->path);
	for (size_t n = 0; n < i->answer.count; n++)
		if (strcmp(i->answer.items[n].key, "done") != 0)
			(void)printf(", \"%s\": %s", i->answer.items[n].key,
				     i->answer.items[n].value);
}

static const char *size_of(const struct inspecting *i, const char *key, char out[SIZE_STR_LEN])
{
	return format_size(cli_answer_number(&i->answer, key), out);
}

static const char *count_of(const struct inspecting *i, const char *key, const char *one,
			    const char *many, char out[CLI_COUNTED_LEN])
{
	return cli_counted(cli_answer_number(&i->answer, key), one, many, out);
}

static void print_if_any(const struct inspecting *i, const char *label, const char *key)
{
	char size[SIZE_STR_LEN];

	if (cli_answer_number(&i->answer, key) > 0)
		(void)printf("  %-14s %s\n", label, size_of(i, key, size));
}

static void print_info(const struct inspecting *i, const char *objects)
{
	uint64_t mode = cli_answer_number(&i->answer, "mode");
	uint64_t stored = cli_answer_number(&i->answer, "stored_bytes");
	char a[SIZE_STR_LEN], b[SIZE_STR_LEN], count[CLI_COUNTED_LEN];

	(void)printf("%s\n  %-14s %s, %s, mode %04o, links %s\n", i->path, "inode",
		     cli_answer_text(&i->answer, "inode"), cli_type_name(mode),
		     (unsigned)mode & 07777, cli_answer_text(&i->answer, "links"));
	(void)printf("  %-14s %s bytes, %s allocated\n", "size",
		     cli_answer_text(&i->answer, "size"), size_of(i, "allocated_bytes", a));
	(void)printf("  %-14s %s\n", "extents", cli_answer_text(&i->answer, "extents"));
	print_if_any(i, "not stored yet", "unsaved_bytes");
	print_if_any(i, "in the database", "inline_bytes");
	print_if_any(i, "unwritten", "unwritten_bytes");
	print_if_any(i, "LOST", "lost_bytes");
	if (stored == 0)
		return;
	(void)printf("  %-14s %s, %s of it in the cache; in %s:\n%s", "stored",
		     format_size(stored, a), size_of(i, "cached_bytes", b),
		     count_of(i, "object_count", "object", "objects", count), objects);
}

static int info(struct inspecting *i)
{
	char *text CLEANUP(free_ptr) = NULL;
	size_t len = 0;
	int code;

	i->objects = open_memstream(&text, &len);
	if (!i->objects)
		return cli_say_error(EXIT_FAILED, -ENOMEM, i->path);
	code = ask(i);
	(void)fclose(i->objects);
	if (code)
		return code;
	if (i->json) {
		print_json(i);
		(void)printf(",\n  \"objects\": [%s]}\n", text);
	} else {
		print_info(i, text);
	}
	return 0;
}

static int summary(struct inspecting *i)
{
	char size[SIZE_STR_LEN], allocated[SIZE_STR_LEN], counts[4][CLI_COUNTED_LEN];
	int code = ask(i);

	if (code)
		return code;
	if (i->json) {
		print_json(i);
		(void)printf("}\n");
		return 0;
	}
	(void)printf("%s: %s, %s, %s, %s; files have %s, all takes %s\n", i->path,
		     count_of(i, "files", "file", "files", counts[0]),
		     count_of(i, "folders", "folder", "folders", counts[1]),
		     count_of(i, "links", "symbolic link", "symbolic links", counts[2]),
		     count_of(i, "others", "other", "others", counts[3]),
		     size_of(i, "size_bytes", size), size_of(i, "allocated_bytes", allocated));
	return 0;
}

#define EXIT_FULL 2

static int warmup(struct inspecting *i)
{
	char fetched[SIZE_STR_LEN], held[SIZE_STR_LEN], count[CLI_COUNTED_LEN];
	int code = ask(i);
	bool full = strcmp(cli_answer_text(&i->answer, "full"), "true") == 0;

	if (code)
		return code;
	if (i->json) {
		print_json(i);
		(void)printf("}\n");
	} else {
		(void)printf("%s: in the cache: %s; %s fetched, %s were there\n", i->path,
			     count_of(i, "files", "file", "files", count),
			     size_of(i, "fetched_bytes", fetched), size_of(i, "held_bytes", held));
	}
	(void)fflush(stdout);
	if (full)
		return cli_say(EXIT_FULL,
			       "%s: the rest is not: the cache holds no more (-o cache_size)",
			       i->path);
	return 0;
}

/* ---- the verbs ---- */

static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
				       { "help", no_argument, NULL, 'h' },
				       { NULL, 0, NULL, 0 } };

const struct cli_options cli_info_options = { "h", longs };
const struct cli_options cli_summary_options = { "h", longs };
const struct cli_options cli_warmup_options = { "h", longs };

static int run(int argc, char **argv, int (*fn)(struct inspecting *i), void (*help)(FILE *out))
{
	bool json = false, many = fn == warmup;
	int opt, code = 0;

	while ((opt = option_next(argc, argv, "h", longs)) != -1) {
		if (opt == 'h') {
			cli_show_help(help);
			return 0;
		}
		if (opt == '?')
			return cli_say_option(EXIT_FAILED, argv[0]);
		json = true;
	}
	if (optind == argc || (!many && argc - optind > 1))
		return cli_say(EXIT_FAILED, "%s needs a path in a mount: levels3fs %s PATH%s",
			       argv[0], argv[0], many ? "…" : "");
	for (; optind < argc; optind++) {
		struct inspecting i = { .verb = argv[0], .path = argv[optind], .json = json };
		int one;

		err_clear();
		one = fn(&i);
		if (one && code != EXIT_FAILED)
			code = one;
		cli_answer_release(&i.answer);
	}
	return code;
}

int cli_info(int argc, char **argv)
{
	return run(argc, argv, info, cli_info_help);
}

int cli_summary(int argc, char **argv)
{
	return run(argc, argv, summary, cli_summary_help);
}

int cli_warmup(int argc, char **argv)
{
	return run(argc, argv, warmup, cli_warmup_help);
}
