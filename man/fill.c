/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes a page of documentation to the standard output, with its lists of options as the program's own
 * tables have them: man/fill PAGE. Between a line with "options: KIND [NAME…]" and one with "options: end", both in a
 * comment of the page's own language, stands what is made here; the rest is copied.
 *
 *	filesystem         mdoc: every option of a filesystem, with all there is to say
 *	mount              the same of the options of a mount
 *	settings           mdoc: what each is called, and its default; in the order of the alphabet
 *	table NAME…        Markdown: these, a line each
 *
 * The pages with the lists are in the repository and in release archives: building needs none of this.
 * `make update-docs` runs it, and tests/docs says whether that is due.
 */
#include "../fuse/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define SETTINGS_MAX 128

static const struct fs_option_info *find_in(const struct fs_option_info *list, const char *name,
					    size_t len)
{
	for (; list->name; list++)
		if (strlen(list->name) == len && strncmp(list->name, name, len) == 0)
			return list;
	return NULL;
}

static const struct fs_option_info *find(const char *name, size_t len)
{
	const struct fs_option_info *o = find_in(fs_options(), name, len);

	return o ? o : find_in(mount_options_list(), name, len);
}

/* ---- mdoc ---- */

/* No request or escape sequence may come of it. */
static void put_plain(const char *text, size_t len)
{
	if (len && (*text == '.' || *text == '\''))
		(void)fputs("\\&", stdout);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\')
			(void)fputs("\\e", stdout);
		else
			(void)putchar(text[i]);
	}
}

static const char *macro_of(const char *word, size_t len)
{
	return find(word, strcspn(word, "=`")) && strcspn(word, "=`") == len ? "Cm" : "Li";
}

/* What follows a word without a blank goes on its line: ", ". */
static size_t put_word(const char *word, size_t len, const char *after)
{
	size_t n = strspn(after, ".,;:)");

	(void)printf(".%s ", macro_of(word, len));
	put_plain(word, len);
	for (size_t i = 0; i < n; i++)
		(void)printf(" %c", after[i]);
	(void)putchar('\n');
	return n;
}

/* Text up to the next literal word. An opening bracket before one stays with it. */
static void put_text(const char *text, size_t len, bool before_word)
{
	bool bracket = before_word && len && text[len - 1] == '(';

	len -= bracket;
	while (len && text[len - 1] == ' ')
		len--;
	while (len && *text == ' ') {
		text++;
		len--;
	}
	put_plain(text, len);
	if (len)
		(void)putchar('\n');
	if (bracket)
		(void)fputs(".No ( Ns\n", stdout);
}

/* One sentence. */
static void put_sentence(const char *s, size_t len)
{
	const char *end = s + len;

	while (s < end) {
		const char *open = memchr(s, '`', (size_t)(end - s)), *close = NULL;

		if (open)
			close = memchr(open + 1, '`', (size_t)(end - open - 1));
		if (!close) {
			put_text(s, (size_t)(end - s), false);
			return;
		}
		put_text(s, (size_t)(open - s), true);
		s = close + 1 + put_word(open + 1, (size_t)(close - open - 1), close + 1);
	}
}

static void put_sentences(const char *text)
{
	while (*text) {
		const char *stop = strstr(text, ". ");
		size_t len = stop ? (size_t)(stop - text) + 1 : strlen(text);

		put_sentence(text, len);
		text += len;
		text += strspn(text, " ");
	}
}

/* The short text of --help as a sentence. */
static void put_help(const char *help)
{
	char sentence[512];
	bool is_url = strstr(help, "://") && strstr(help, "://") < help + strcspn(help, " ");

	(void)snprintf(sentence, sizeof(sentence), "%s%s", help,
		       help[strlen(help) - 1] == '.' ? "" : ".");
	if (!is_url)
		sentence[0] = (char)toupper((unsigned char)sentence[0]);
	put_plain(sentence, strlen(sentence));
	(void)putchar('\n');
}

static void put_name(const struct fs_option_info *o)
{
	(void)printf(".It Cm %s", o->name);
	if (o->argument) {
		(void)fputs(" Ns = Ns Ar ", stdout);
		for (const char *p = o->argument; *p; p++)
			(void)putchar(tolower((unsigned char)*p));
	}
	(void)putchar('\n');
}

static void put_list(const struct fs_option_info *list)
{
	(void)puts(".Bl -tag -width Ds");
	for (; list->name; list++) {
		put_name(list);
		put_help(list->help);
		if (list->more)
			put_sentences(list->more);
		if (list->range)
			(void)printf("From %s.\n", list->range);
		(void)printf("Default: %s.\n", list->fallback);
	}
	(void)puts(".El");
}

/* ---- the other kinds ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct fs_option_info *const *)a)->name,
		      (*(const struct fs_option_info *const *)b)->name);
}

static void put_settings(void)
{
	const struct fs_option_info *lists[] = { fs_options(), mount_options_list() };
	const struct fs_option_info *all[SETTINGS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (const struct fs_option_info *o = lists[i]; o->name && n < SETTINGS_MAX; o++)
			all[n++] = o;
	qsort(all, n, sizeof(all[0]), by_name);
	(void)puts(".Bl -column \"no_allow_other\" \"[ADDRESS:]PORT\"");
	for (size_t i = 0; i < n; i++)
		(void)printf(".It Cm %s Ta %s%s Ta %s\n", all[i]->name,
			     all[i]->argument ? "Ar " : "",
			     all[i]->argument ? all[i]->argument : "", all[i]->fallback);
	(void)puts(".El");
}

/* "cache_dir cache_size -->": up to the end of the comment. */
static int put_table(const char *names)
{
	(void)puts("| option | default | means |\n|---|---|---|");
	for (names += strspn(names, " "); *names && *names != '-'; names += strspn(names, " ")) {
		size_t len = strcspn(names, " \n");
		const struct fs_option_info *o = find(names, len);

		if (!o) {
			(void)fprintf(stderr, "fill: no option is called %.*s\n", (int)len, names);
			return -ENOENT;
		}
		(void)printf("| `%s%s%s` | %s | %s |\n", o->name, o->argument ? "=" : "",
			     o->argument ? o->argument : "", o->fallback, o->help);
		names += len;
	}
	return 0;
}

static int put_block(const char *kind)
{
	if (strncmp(kind, "filesystem", 10) == 0)
		put_list(fs_options());
	else if (strncmp(kind, "mount", 5) == 0)
		put_list(mount_options_list());
	else if (strncmp(kind, "settings", 8) == 0)
		put_settings();
	else if (strncmp(kind, "table ", 6) == 0)
		return put_table(kind + 6);
	else
		return -EINVAL;
	return 0;
}

static const char *kind_of(const char *line)
{
	bool comment = strncmp(line, ".\\\"", 3) == 0 || strncmp(line, "<!--", 4) == 0;
	const char *mark = comment ? strstr(line, " options: ") : NULL;

	return mark ? mark + strlen(" options: ") : NULL;
}

static int fill(FILE *page)
{
	char line[LINE_MAX_BYTES];
	bool inside = false;
	int err = 0;

	while (err >= 0 && fgets(line, sizeof(line), page)) {
		const char *kind = kind_of(line);
		bool end = kind && strncmp(kind, "end", 3) == 0;

		if (end)
			inside = false;
		if (!inside)
			(void)fputs(line, stdout);
		if (kind && !end) {
			err = put_block(kind);
			inside = true;
		}
	}
	return inside && err >= 0 ? -EINVAL : err;
}

int main(int argc, char **argv)
{
	FILE *page = argc == 2 ? fopen(argv[1], "r") : NULL;
	int err;

	if (!page) {
		(void)fprintf(stderr, "usage: fill PAGE (a file that can be read)\n");
		return 2;
	}
	err = fill(page);
	(void)fclose(page);
	if (err < 0)
		(void)fprintf(stderr, "fill: %s: a list of options is not as it should be\n",
			      argv[1]);
	return err < 0 || fflush(stdout) != 0;
}
