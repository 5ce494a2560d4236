/* SPDX-License-Identifier: BSD-3-Clause */
/* Strings of JSON. File names are any bytes; JSON is UTF-8. */
#include "cli/internal.h"

#include <string.h>

/* How many bytes of a valid character begin here; 0: none. */
static size_t utf8_len(const unsigned char *s)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 },
		      { 0xe0, 0xc0, 0x80 },
		      { 0xf0, 0xe0, 0x800 },
		      { 0xf8, 0xf0, 0x10000 } };
	uint32_t code;

	for (size_t n = 0; n < ARRAY_LEN(forms); n++) {
		if ((s[0] & forms[n].mask) != forms[n].lead)
			continue;
		code = s[0] & (unsigned char)~forms[n].mask;
		for (size_t k = 1; k <= n; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (s[k] & 0x3f);
		}
		if (code < forms[n].least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
			return 0;
		return n + 1;
	}
	return 0;
}

void cli_json_string(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	(void)fputc('"', out);
	while (*s) {
		size_t len = utf8_len(s);

		if (*s == '"' || *s == '\\')
			(void)fprintf(out, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			(void)fprintf(out, "\\u%04x", *s);
		else if (len == 0)
			(void)fputs("\\ufffd", out);
		else
			(void)fwrite(s, 1, len, out);
		s += len ? len : 1;
	}
	(void)fputc('"', out);
}
