/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages for people. */
#include "cli/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TERMINAL_EVERY_MS 200
#define LOG_EVERY_MS 5000

int cli_say(int code, const char *fmt, ...)
{
	va_list ap;

	(void)fputs("levels3fs: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

int cli_say_option(int code, const char *verb)
{
	return cli_say(code, "%s (levels3fs %s --help says what it takes)", err_last_note(), verb);
}

int cli_say_error(int code, int err, const char *what)
{
	struct buf why CLEANUP(buf_release) = BUF_INIT;

	fs_explain(err, &why);
	return cli_say(code, "%s: %s", what, buf_cstr(&why));
}

#define PROGRESS_BYTES 512

void cli_progress(struct cli_progress *p, const char *fmt, ...)
{
	uint64_t now = clock_mono_ms(&clock_system);
	bool terminal = isatty(STDERR_FILENO);
	unsigned columns = cli_columns(STDERR_FILENO);
	char line[PROGRESS_BYTES];
	va_list ap;

	if (now < p->next_ms)
		return;
	/* What is done at once needs no line in a log. */
	if (!terminal && p->next_ms == 0) {
		p->next_ms = now + LOG_EVERY_MS;
		return;
	}
	p->next_ms = now + (terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS);
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* Of a line that went on below, only the last part could be taken back. */
	if (columns)
		line[cli_cut(line, columns - 1)] = '\0';
	(void)fprintf(stderr, "%s%s", terminal ? "\r\033[K" : "levels3fs: ", line);
	if (!terminal)
		(void)fputc('\n', stderr);
	(void)fflush(stderr);
	p->shown = terminal;
}

const char *cli_counted(uint64_t n, const char *one, const char *many, char out[CLI_COUNTED_LEN])
{
	(void)snprintf(out, CLI_COUNTED_LEN, "%llu %s", (unsigned long long)n, n == 1 ? one : many);
	return out;
}

const char *cli_type_name(uint64_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "folder";
	case S_IFLNK:
		return "symbolic link";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	default:
		return "unknown";
	}
}

#define BAR_CHARS 24

const char *cli_bar(uint64_t done, uint64_t all, char out[CLI_BAR_LEN])
{
	double part = all == 0 || done >= all ? 1 : (double)done / (double)all;
	int full = (int)(part * BAR_CHARS);

	(void)snprintf(out, CLI_BAR_LEN, "[%.*s%*s] %3d %%", full, "########################",
		       BAR_CHARS - full, "", (int)(part * 100));
	return out;
}

bool cli_wants_colour(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 && !(no && *no);
}

void cli_progress_clear(struct cli_progress *p)
{
	if (p->shown)
		(void)fputs("\r\033[K", stderr);
	p->shown = false;
}

int cli_confirm(bool yes, const char *word, const char *fmt, ...)
{
	char *line CLEANUP(free_ptr) = NULL;
	size_t size = 0;
	va_list ap;

	if (yes)
		return 0;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	if (!isatty(STDIN_FILENO))
		return cli_say(EXIT_FAILED, "nobody is there to be asked; --yes goes on without");
	(void)fprintf(stderr, "Type \"%s\" to go on: ", word);
	if (getline(&line, &size, stdin) < 0)
		return EXIT_FAILED;
	line[strcspn(line, "\r\n")] = '\0';
	return strcmp(line, word) == 0 ? 0 : EXIT_FAILED;
}
