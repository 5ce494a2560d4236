/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What people write after -o, and what of it is handed on to libfuse and fusermount3: whatever a
 * value holds, no option that nobody asked for comes out of it.
 *
 * The input: a URL, then one list of options or several, each ended by a NUL.
 */
#include "fuse/options.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mount.h>

/* All that we ever hand on, in the order of these. */
static const char *const handed_on[] = { "default_permissions",
					 "subtype=levels3fs",
					 "fsname=",
					 "ro",
					 "rw",
					 "allow_other",
					 "allow_root",
					 "nosuid",
					 "suid",
					 "nodev",
					 "dev",
					 "noexec",
					 "sync",
					 "noatime",
					 "context=",
					 "fscontext=",
					 "defcontext=",
					 "rootcontext=" };

/* One option of the list, as libfuse reads it; *ret_next: behind its comma, or NULL. */
static void read_option(const char *list, struct buf *ret, const char **ret_next)
{
	for (; *list && *list != ','; list++) {
		if (*list == '\\' && list[1])
			list++;
		buf_u8(ret, (uint8_t)*list);
	}
	*ret_next = *list ? list + 1 : NULL;
}

static bool is_expected(const char *option)
{
	for (size_t n = 0; n < ARRAY_LEN(handed_on); n++) {
		size_t len = strlen(handed_on[n]);

		if (handed_on[n][len - 1] == '=' ? strncmp(option, handed_on[n], len) == 0
						 : strcmp(option, handed_on[n]) == 0)
			return true;
	}
	return false;
}

static void check_list(const struct mount_options *o, const char *url, const char *list)
{
	unsigned sources = 0;

	while (list) {
		struct buf option CLEANUP(buf_release) = BUF_INIT;
		const char *text;

		read_option(list, &option, &list);
		text = buf_cstr(&option);
		MUST(is_expected(text));
		MUST(strcmp(text, "ro") != 0 || o->flags & MS_RDONLY);
		MUST(strcmp(text, "suid") != 0 || !(o->flags & MS_NOSUID));
		MUST(strcmp(text, "dev") != 0 || !(o->flags & MS_NODEV));
		MUST(strcmp(text, "allow_root") != 0 || o->others == OTHERS_ROOT);
		MUST(strcmp(text, "allow_other") != 0 || o->others == OTHERS_ALLOWED ||
		     o->others == OTHERS_DEFAULT);
		if (strncmp(text, "fsname=", 7) == 0) {
			MUST(strcmp(text + 7, o->fsname ? o->fsname : url) == 0);
			sources++;
		}
	}
	MUST(sources == 1);
}

static int take(struct mount_options *o, const char *list, const char *end)
{
	int err = 0;

	for (; err >= 0 && list < end; list += strlen(list) + 1)
		err = mount_options_parse(o, list);
	return err < 0 ? err : fs_config_check(&o->config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf words CLEANUP(buf_release) = BUF_INIT, out CLEANUP(buf_release) = BUF_INIT;
	char *text = fuzz_string(data, size);
	struct mount_options o;
	int err;

	mount_options_init(&o);
	err = take(&o, text + strlen(text) + 1, text + size);
	if (err < 0)
		fs_explain(err, &words);
	else if (mount_options_for_fuse(&o, text, &out) == 0)
		check_list(&o, text, buf_cstr(&out));
	mount_options_release(&o);
	free(text);
	return 0;
}
