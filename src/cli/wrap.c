/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for terminals that are narrower than it was written for. Elsewhere it stays as it is. */
#include "cli/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MIN 20

unsigned cli_columns(int fd)
{
	struct winsize size;

	if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col < COLUMNS_MIN)
		return 0;
	return size.ws_col;
}

/* Characters, of which one may have several bytes of UTF-8. */
static size_t width_of(const char *text, size_t len)
{
	size_t width = 0;

	for (size_t i = 0; i < len; i++)
		width += (text[i] & 0xc0) != 0x80;
	return width;
}

size_t cli_cut(const char *text, size_t columns)
{
	size_t len = 0;

	for (; text[len] && (columns > 0 || (text[len] & 0xc0) == 0x80); len++)
		columns -= (text[len] & 0xc0) != 0x80;
	return len;
}

/* ---- a line ---- */

/* Where the text of a list's line begins, after what it is about: behind the last gap. 0: there is no gap. */
static size_t text_at(const char *line, size_t len)
{
	size_t indent = strspn(line, " "), at = 0;

	for (size_t i = indent + 2; i < len; i++)
		if (line[i] != ' ' && line[i - 1] == ' ' && line[i - 2] == ' ')
			at = i;
	return at;
}

static void pad(struct buf *out, size_t columns)
{
	while (columns-- > 0)
		buf_add_str(out, " ");
}

/* Words; what does not fit goes on below `hang`. Column of the end. */
static size_t add_words(struct buf *out, const char *text, size_t len, size_t column, size_t hang,
			size_t columns)
{
	bool first = true;

	for (size_t i = 0; i < len;) {
		size_t word = strcspn(text + i, " \n"), width = width_of(text + i, word);

		if (word > 0 && !first && column + 1 + width > columns) {
			buf_add_str(out, "\n");
			pad(out, hang);
			column = hang;
		} else if (word > 0 && !first) {
			buf_add_str(out, " ");
			column++;
		}
		buf_add(out, text + i, word);
		column += width;
		first = first && word == 0;
		i += word + 1;
	}
	return column;
}

#define ROOM_MIN 24 /* for the text of a list's line beside what it is about; else it goes below */
#define DEEPER 6

/* "  what  text": the text keeps to the right of what it is about, or goes below. */
static void wrap_item(struct buf *out, const char *line, size_t len, size_t gap, size_t columns)
{
	size_t indent = strspn(line, " "), hang = width_of(line, gap), column = hang;

	if (hang + ROOM_MIN <= columns) {
		buf_add(out, line, gap);
	} else {
		size_t head = gap;

		while (line[head - 1] == ' ')
			head--;
		if (width_of(line, head) <= columns) {
			buf_add(out, line, head);
		} else {
			pad(out, indent);
			(void)add_words(out, line + indent, head - indent, indent, indent, columns);
		}
		buf_add_str(out, "\n");
		column = hang = indent + DEEPER;
		pad(out, hang);
	}
	(void)add_words(out, line + gap, len - gap, column, hang, columns);
}

void cli_wrap_line(struct buf *out, const char *line, size_t len, size_t hang, size_t columns)
{
	size_t indent = min_u64(strspn(line, " "), len), gap = text_at(line, len), left = indent;

	if (columns == 0 || width_of(line, len) <= columns) {
		buf_add(out, line, len);
	} else if (gap > 0) {
		wrap_item(out, line, len, gap, columns);
	} else {
		if (max_u64(indent, hang) + ROOM_MIN > columns)
			left = hang = min_u64(indent, DEEPER);
		pad(out, left);
		(void)add_words(out, line + indent, len - indent, left, max_u64(hang, left),
				columns);
	}
	buf_add_str(out, "\n");
}

/* ---- paragraphs ---- */

/* Does a line go on with the paragraph before it, whose text hangs there? "usage:" and a list's lines begin anew. */
static bool goes_on(const char *line, size_t len, const char *before, size_t hang)
{
	size_t indent = strspn(line, " ");

	return len > 0 && indent < len && before && indent == hang && text_at(line, len) == 0 &&
	       strncmp(before, "usage:", 6) != 0;
}

#define USAGE_HANG 14

struct paragraph {
	struct buf text;
	const char *begin; /* where it began; NULL: an empty line */
	size_t hang;	   /* lines that go on with it begin there */
	size_t list;	   /* and the texts of the list that it is in; 0: it is in none */
};

static void end_paragraph(struct buf *out, struct paragraph *p, size_t columns)
{
	if (p->begin)
		cli_wrap_line(out, buf_cstr(&p->text), p->text.len, max_u64(p->hang, p->list),
			      columns);
	buf_reset(&p->text);
}

static void begin_paragraph(struct paragraph *p, const char *line, size_t len)
{
	size_t indent = min_u64(strspn(line, " "), len), gap = text_at(line, len);

	buf_add(&p->text, line, len);
	p->begin = len > 0 ? line : NULL;
	p->list = gap ? width_of(line, gap) : indent ? p->list : 0;
	p->hang = gap ? p->list : strncmp(line, "usage:", 6) == 0 ? USAGE_HANG : indent;
}

static bool fits(const char *text, size_t columns)
{
	for (; *text; text += strspn(text, "\n")) {
		size_t len = strcspn(text, "\n");

		if (width_of(text, len) > columns)
			return false;
		text += len;
	}
	return true;
}

void cli_wrap_text(struct buf *out, const char *text, size_t columns)
{
	struct paragraph p = { .text = BUF_INIT };

	if (columns == 0 || fits(text, columns)) {
		buf_add_str(out, text);
		return;
	}
	while (*text) {
		size_t len = strcspn(text, "\n"), indent = min_u64(strspn(text, " "), len);

		if (goes_on(text, len, p.begin, p.hang)) {
			buf_add_str(&p.text, " ");
			buf_add(&p.text, text + indent, len - indent);
		} else {
			end_paragraph(out, &p, columns);
			begin_paragraph(&p, text, len);
			if (!p.begin)
				buf_add_str(out, "\n");
		}
		text += len + (text[len] == '\n');
	}
	end_paragraph(out, &p, columns);
	buf_release(&p.text);
}

void cli_show_help(void (*help)(FILE *out))
{
	struct buf wrapped CLEANUP(buf_release) = BUF_INIT;
	unsigned columns = cli_columns(STDOUT_FILENO);
	char *text CLEANUP(free_ptr) = NULL;
	size_t len = 0;
	FILE *f = columns ? open_memstream(&text, &len) : NULL;

	if (f) {
		help(f);
		(void)fclose(f);
	}
	if (text)
		cli_wrap_text(&wrapped, text, columns);
	if (text && buf_error(&wrapped) >= 0)
		(void)fputs(buf_cstr(&wrapped), stdout);
	else
		help(stdout);
}
