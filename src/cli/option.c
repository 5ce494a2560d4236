/* SPDX-License-Identifier: BSD-3-Clause */
/* What the table of options has to say of one of them, for a terminal. */
#include "cli/internal.h"

#include <ctype.h>
#include <string.h>

#define WIDTH 100 /* and no wider than the terminal */
#define INDENT "  "

/* Words on lines of a width, without the marks of those that are to be taken literally. */
static void print_wrapped(FILE *out, const char *text)
{
	size_t columns = cli_columns(fileno(out)), column = 0;
	size_t width = columns ? min_u64(columns, WIDTH) : WIDTH;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t len = strcspn(text, " ");
		bool breaks = column > 0 && column + 1 + len > width;

		(void)fputs(column == 0 ? INDENT : breaks ? "\n" INDENT : " ", out);
		column = (column == 0 || breaks ? strlen(INDENT) : column + 1) + len;
		for (size_t i = 0; i < len; i++)
			if (text[i] != '`')
				(void)fputc(text[i], out);
		text += len;
	}
	(void)fputc('\n', out);
}

void cli_print_option(FILE *out, const struct fs_option_info *o)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;

	(void)fprintf(out, "-o %s%s%s\n", o->name, o->argument ? "=" : "",
		      o->argument ? o->argument : "");
	buf_printf(&text, "%c%s%s %s", toupper((unsigned char)o->help[0]), o->help + 1,
		   o->help[strlen(o->help) - 1] == '.' ? "" : ".", o->more ? o->more : "");
	print_wrapped(out, buf_cstr(&text));
	buf_reset(&text);
	if (o->range)
		buf_printf(&text, "From %s. ", o->range);
	buf_printf(&text, "Default: %s.", o->fallback);
	print_wrapped(out, buf_cstr(&text));
}
