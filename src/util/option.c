/* SPDX-License-Identifier: BSD-3-Clause */
/* Options of a command line, with words for those that are wrong. */
#include "util/option.h"
#include "util/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS_MAX 64

static const char *long_name(const struct option *options, int val)
{
	for (; options->name; options++)
		if (options->val == val)
			return options->name;
	return "";
}

static void note_unknown_word(const struct option *options, const char *word)
{
	const char *names[OPTIONS_MAX], *near;
	char name[64];
	size_t count = 0;

	(void)snprintf(name, sizeof(name), "%s", word + strspn(word, "-"));
	name[strcspn(name, "=")] = '\0';
	for (; options[count].name && count < OPTIONS_MAX; count++)
		names[count] = options[count].name;
	for (size_t i = 0; *name && i < count; i++) {
		if (strncmp(names[i], name, strlen(name)) != 0)
			continue;
		(void)err_note(-L3_BAD_OPTION, "option \"%s\" could be more than one", word);
		return;
	}
	near = nearest_name(name, names, count);
	if (near)
		(void)err_note(-L3_BAD_OPTION, "unknown option \"%s\"; did you mean \"--%s\"?",
			       word, near);
	else
		(void)err_note(-L3_BAD_OPTION, "unknown option \"%s\"", word);
}

static bool has_value(const char *word)
{
	return strncmp(word, "--", 2) == 0 && strchr(word, '=');
}

int option_next(int argc, char **argv, const char *shorts, const struct option *options)
{
	char all[OPTIONS_MAX];
	int opt;

	(void)snprintf(all, sizeof(all), ":%s", shorts); /* a missing value is told apart */
	opterr = 0;
	opt = getopt_long(argc, argv, all, options, NULL);
	if (opt == ':')
		(void)err_note(-L3_BAD_OPTION, "option \"%s\" needs a value", argv[optind - 1]);
	else if (opt == '?' && has_value(argv[optind - 1]) && *long_name(options, optopt))
		(void)err_note(-L3_BAD_OPTION, "option \"--%s\" takes no value",
			       long_name(options, optopt));
	else if (opt == '?' && optopt)
		(void)err_note(-L3_BAD_OPTION, "unknown option \"-%c\"", optopt);
	else if (opt == '?')
		note_unknown_word(options, argv[optind - 1]);
	return opt == ':' ? '?' : opt;
}
