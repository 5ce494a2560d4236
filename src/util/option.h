/* SPDX-License-Identifier: BSD-3-Clause */
/* option: getopt_long with words for what is wrong. A door of util's, for command lines. */
#ifndef LEVELS3_UTIL_OPTION_H
#define LEVELS3_UTIL_OPTION_H

#include <getopt.h>

/* As getopt_long. '?': a note says what is wrong, and which option may have been meant. */
int option_next(int argc, char **argv, const char *shorts, const struct option *options);

#endif
