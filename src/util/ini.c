/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines of INI files. */
#include "util/util.h"

#include <ctype.h>
#include <string.h>

/* Moves *start past blanks; the length without blanks at the end. */
static size_t trim(const char **start, size_t len)
{
	while (len > 0 && isspace((unsigned char)(*start)[0])) {
		(*start)++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)(*start)[len - 1]))
		len--;
	return len;
}

/* A '#' or ';' after a blank begins a comment. */
static size_t without_comment(const char *value, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if ((value[i] == '#' || value[i] == ';') && isblank((unsigned char)value[i - 1]))
			return i;
	return len;
}

static void take_section(const char *line, size_t len, struct ini_line *ret)
{
	const char *end = memchr(line, ']', len);

	ret->kind = end ? INI_SECTION : INI_UNCLOSED;
	ret->name = line + 1;
	ret->name_len = trim(&ret->name, (end ? (size_t)(end - line) : len) - 1);
}

static void take_setting(const char *line, size_t len, struct ini_line *ret)
{
	const char *equals = memchr(line, '=', len);

	ret->kind = INI_SETTING;
	ret->name = line;
	if (!equals) {
		ret->name_len = trim(&ret->name, without_comment(line, len));
		return;
	}
	ret->name_len = trim(&ret->name, (size_t)(equals - line));
	ret->value = equals + 1;
	ret->value_len = trim(&ret->value, len - (size_t)(ret->value - line));
	ret->value_len = trim(&ret->value, without_comment(ret->value, ret->value_len));
	if (ret->name_len == 0)
		ret->kind = INI_NAMELESS;
}

bool ini_next(struct ini *f, struct ini_line *ret)
{
	while (*f->next) {
		size_t whole = strcspn(f->next, "\n");
		const char *line = f->next, *start = line;
		size_t len = trim(&start, whole);

		f->next += whole + (line[whole] == '\n');
		f->number++;
		if (len == 0 || *start == '#' || *start == ';')
			continue;
		*ret = (struct ini_line){ .number = f->number, .indent = (size_t)(start - line) };
		if (*start == '[')
			take_section(start, len, ret);
		else
			take_setting(start, len, ret);
		return true;
	}
	return false;
}
