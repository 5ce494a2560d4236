/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of options: option_table.c says what there is, options.c what is made of it. */
#ifndef LEVELS3_FS_OPTION_H
#define LEVELS3_FS_OPTION_H

#include "fs/fs.h"

#define MS_PER_S 1000
#define MS_PER_MIN (60 * MS_PER_S)
#define MS_PER_HOUR (60 * MS_PER_MIN)
#define MS_PER_DAY (24 * MS_PER_HOUR)

enum fs_option_kind {
	KIND_TEXT,
	KIND_PATH, /* of a file */
	KIND_DIR,  /* or "none" */
	KIND_SIZE,
	KIND_SHARE, /* a size, or a part of the disk */
	KIND_DURATION,
	KIND_COUNT,
	KIND_FLAG
};

struct fs_option_effect { /* of a flag */
	size_t field;
	bool value;
};

struct fs_option {
	struct fs_option_info info;
	enum fs_option_kind kind;
	size_t field;			    /* in struct fs_config; not for flags */
	uint64_t min, max;		    /* of numbers: bytes, ms */
	struct fs_option_effect effects[2]; /* field 0 means none (the first field is no bool) */
	size_t share_field;		    /* of a share: the percentage, an unsigned */
};

/* In the order of the manual page; ends with a NULL name. */
extern const struct fs_option fs_option_table[];
#define FS_OPTIONS_MAX 64

#endif
