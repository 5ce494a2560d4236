/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mount options. libfuse and fusermount3 refuse what they do not know (relatime, _netdev, user …),
 * so nothing goes through unseen: mount(8)'s own words are known here by name.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <unistd.h>

/* ---- the tables ---- */

/* As for every filesystem: bits of mount(2). */
static const struct {
	const char *name;
	unsigned long bit;
	bool on;
	bool also_fs; /* the filesystem has an option of this name, too */
} flags[] = {
	{ "ro", MS_RDONLY, true, true },	 { "rw", MS_RDONLY, false, true },
	{ "nosuid", MS_NOSUID, true, false },	 { "suid", MS_NOSUID, false, false },
	{ "nodev", MS_NODEV, true, false },	 { "dev", MS_NODEV, false, false },
	{ "noexec", MS_NOEXEC, true, false },	 { "exec", MS_NOEXEC, false, false },
	{ "sync", MS_SYNCHRONOUS, true, false }, { "async", MS_SYNCHRONOUS, false, false },
	{ "dirsync", MS_DIRSYNC, true, false },	 { "noatime", MS_NOATIME, true, true },
	{ "relatime", MS_NOATIME, false, true }, { "strictatime", MS_NOATIME, false, true },
};

/* For mount(8), systemd or the user's notes; nothing for us to do. "name=" takes any value. */
static const char *const foreign[] = {
	"defaults", "auto",	  "noauto",   "nofail",	    "_netdev",	  "user",
	"user=",    "nouser",	  "users",    "nousers",    "owner",	  "noowner",
	"group",    "nogroup",	  "comment=", "atime",	    "norelatime", "nostrictatime",
	"lazytime", "nolazytime", "iversion", "noiversion", "mand",	  "nomand",
	"silent",   "loud",	  "uhelper=", "helper=",    "subtype=",	  "default_permissions",
};

enum own {
	OWN_WRITEBACK,
	OWN_NONEMPTY,
	OWN_REMOUNT,
	OWN_ALLOW_OTHER,
	OWN_NO_ALLOW_OTHER,
	OWN_ALLOW_ROOT,
	OWN_FSNAME,
	OWN_LOG,
	OWN_LOG_LEVEL,
	OWN_METRICS
};

/* clang-format off: a table is read by its lines. As in src/fs/option_table.c; after a change `make update-docs` */
#define INFO(...) { __VA_ARGS__, NULL }
static const struct fs_option_info own_infos[] = {
[OWN_WRITEBACK] = INFO("writeback", NULL, "off",
    "let the kernel gather small writes (order of writes before a crash is then its own)",
    "Faster for programs that write a few bytes at a time. "
    "The kernel chooses the order in which a file's bytes arrive, so that after a crash a file may hold later writes "
    "without earlier ones, unless fsync(2) was between them. "
    "Without it each file holds a prefix of its writes."),
[OWN_NONEMPTY] = INFO("nonempty", NULL, "off", "mount over a folder that is not empty",
    "What is in it is hidden meanwhile."),
[OWN_REMOUNT] = INFO("remount", NULL, "off", "change ro, nosuid, nodev, noexec, noatime of a mount",
    "Root only. "
    "Other options are accepted, and used at the next mount. "
    "What was mounted `ro` cannot become `rw`."),
[OWN_ALLOW_OTHER] = INFO("allow_other", NULL, "on for root", "other users may use the mount",
    "As far as the permissions in it let them. "
    "For users other than root it needs `user_allow_other` in /etc/fuse.conf."),
[OWN_NO_ALLOW_OTHER] = INFO("no_allow_other", NULL, "on for others", "only who mounted it may use it",
    "Not even root may."),
[OWN_ALLOW_ROOT] = INFO("allow_root", NULL, "off", "who mounted it and root may use it", NULL),
[OWN_FSNAME] = INFO("fsname", "NAME", "the URL", "what df and mount show as the source", NULL),
[OWN_LOG] = INFO("log", "WHERE", "by itself", "where the log goes once it is mounted: stderr, syslog, journald",
    "By itself it goes to standard error in the foreground (`-f`), or to journald if that is where standard error goes; "
    "else to syslog. "
    "journald gets URL and mountpoint, and of requests object, time and request id, as fields of their own "
    "(`LEVELS3FS_URL` and others)."),
[OWN_LOG_LEVEL] = INFO("log_level", "LEVEL", "info", "how much: error, warn, info, debug",
    "`levels3fs log` changes it while it is mounted."),
[OWN_METRICS] = INFO("metrics", "[ADDRESS:]PORT", "none", "serve metrics for Prometheus there: GET /metrics",
    "Without an address on 127.0.0.1. "
    "Port 0 takes a free one; `levels3fs status` shows which. "
    "Who reaches the port may read: counters, the source, and the mountpoint."),
INFO(NULL, NULL, NULL, NULL, NULL),
};
/* clang-format on */

static const char *const security_labels[] = { "context", "fscontext", "defcontext",
					       "rootcontext" };

const struct fs_option_info *mount_options_list(void)
{
	return own_infos;
}

/* ---- parsing ---- */

void mount_options_init(struct mount_options *o)
{
	*o = (struct mount_options){ .log_level = LOG_L_INFO };
	fs_config_init(&o->config);
}

void mount_options_release(struct mount_options *o)
{
	fs_config_release(&o->config);
	free(o->fsname);
	free(o->metrics);
	free(o->security);
	*o = (struct mount_options){ 0 };
}

static bool is_foreign(const char *name, const char *value)
{
	if (strncasecmp(name, "x-", 2) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		size_t len = strlen(foreign[i]);
		bool wants_value = foreign[i][len - 1] == '=';

		if (wants_value == (value != NULL) && strlen(name) == len - wants_value &&
		    strncmp(name, foreign[i], len - wants_value) == 0)
			return true;
	}
	return false;
}

static int set_flag(struct mount_options *o, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (strcmp(flags[i].name, name) != 0)
			continue;
		if (value)
			return err_note(-L3_BAD_OPTION, "option %s takes no value", name);
		o->flags = flags[i].on ? o->flags | flags[i].bit : o->flags & ~flags[i].bit;
		return flags[i].also_fs ? -ENOTSUP : 0;
	}
	return -ENOTSUP;
}

static int keep(char **slot, char *made)
{
	if (!made)
		return err_note(-ENOMEM, "out of memory");
	free(*slot);
	*slot = made;
	return 0;
}

/* As libfuse wants commas and backslashes within a value. */
static void add_escaped(struct buf *out, const char *value)
{
	for (; *value; value++) {
		if (*value == ',' || *value == '\\')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)*value);
	}
}

/* Several are joined. */
static int add_security(struct mount_options *o, const char *name, const char *value)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	buf_printf(&b, "%s%s%s=", o->security ? o->security : "", o->security ? "," : "", name);
	add_escaped(&b, value);
	return keep(&o->security, strdup(buf_cstr(&b)));
}

static int set_log(struct mount_options *o, const char *value)
{
	static const char *const names[] = { [LOG_TO_STDERR] = "stderr",
					     [LOG_TO_SYSLOG] = "syslog",
					     [LOG_TO_JOURNALD] = "journald" };

	for (size_t i = LOG_TO_STDERR; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], value) != 0)
			continue;
		o->log_where = (enum log_where)i;
		return 0;
	}
	return err_note(-L3_BAD_OPTION, "log=%s: it is stderr, syslog or journald", value);
}

static int set_own(struct mount_options *o, enum own which, const char *value)
{
	bool wants_value = own_infos[which].argument;

	if (wants_value ? !value || !*value : value != NULL)
		return err_note(-L3_BAD_OPTION, "option %s %s", own_infos[which].name,
				wants_value ? "needs a value" : "takes no value");
	switch (which) {
	case OWN_WRITEBACK:
		o->writeback = true;
		return 0;
	case OWN_NONEMPTY:
		o->nonempty = true;
		return 0;
	case OWN_REMOUNT:
		o->remount = true;
		return 0;
	case OWN_ALLOW_OTHER:
		o->others = OTHERS_ALLOWED;
		return 0;
	case OWN_NO_ALLOW_OTHER:
		o->others = OTHERS_DENIED;
		return 0;
	case OWN_ALLOW_ROOT:
		o->others = OTHERS_ROOT;
		return 0;
	case OWN_FSNAME:
		return keep(&o->fsname, strdup(value));
	case OWN_LOG:
		return set_log(o, value);
	case OWN_LOG_LEVEL:
		if (log_level_parse(value, &o->log_level) < 0)
			return err_note(-L3_BAD_OPTION,
					"log_level=%s: it is error, warn, info or debug", value);
		return 0;
	case OWN_METRICS:
		return keep(&o->metrics, strdup(value));
	}
	return -ENOTSUP;
}

/* Of all names we know, ours and the filesystem's. */
static int unknown(const char *name)
{
	const char *names[128], *near;
	size_t n = 0;

	for (const struct fs_option_info *i = fs_options(); i->name && n < ARRAY_LEN(names); i++)
		names[n++] = i->name;
	for (const struct fs_option_info *i = own_infos; i->name && n < ARRAY_LEN(names); i++)
		names[n++] = i->name;
	for (size_t i = 0; i < ARRAY_LEN(flags) && n < ARRAY_LEN(names); i++)
		names[n++] = flags[i].name;
	for (size_t i = 0; i < ARRAY_LEN(foreign) && n < ARRAY_LEN(names); i++)
		names[n++] = foreign[i];
	near = nearest_name(name, names, n);
	if (!near)
		return err_note(-L3_BAD_OPTION,
				"unknown option \"%s\" (levels3fs mount --help lists them)", name);
	return err_note(-L3_BAD_OPTION, "unknown option \"%s\"; did you mean \"%s\"?", name, near);
}

/* fs_option_fn: sees every option first. */
static int set(void *ctx, const char *name, const char *value)
{
	struct mount_options *o = ctx;
	int err = set_flag(o, name, value);

	if (err != -ENOTSUP || is_foreign(name, value))
		return err == -ENOTSUP ? 0 : err;
	for (size_t i = 0; own_infos[i].name; i++)
		if (strcmp(own_infos[i].name, name) == 0)
			return set_own(o, (enum own)i, value);
	for (size_t i = 0; i < ARRAY_LEN(security_labels); i++)
		if (value && strcmp(security_labels[i], name) == 0)
			return add_security(o, name, value);
	err = fs_config_set(&o->config, name, value);
	if (err != -ENOTSUP)
		return err;
	return o->sloppy ? 0 : unknown(name);
}

int mount_options_parse(struct mount_options *o, const char *list)
{
	return fs_config_parse(&o->config, list, set, o);
}

int mount_options_place(struct mount_options *o, const char *word, struct fs_place *ret)
{
	return fs_place_find(word, set, o, ret);
}

/* ---- for libfuse ---- */

static bool others_allowed(const struct mount_options *o)
{
	return o->others == OTHERS_ALLOWED || (o->others == OTHERS_DEFAULT && geteuid() == 0);
}

int mount_options_for_fuse(const struct mount_options *o, const char *url, struct buf *out)
{
	buf_add_str(out, "default_permissions,subtype=levels3fs,fsname=");
	add_escaped(out, o->fsname ? o->fsname : url);
	buf_add_str(out, o->flags & MS_RDONLY ? ",ro" : ",rw");
	if (others_allowed(o))
		buf_add_str(out, ",allow_other");
	if (o->others == OTHERS_ROOT)
		buf_add_str(out, ",allow_root");
	/* libfuse mounts nosuid,nodev unless told; fusermount3 lets only root say otherwise. */
	if (geteuid() == 0) {
		buf_add_str(out, o->flags & MS_NOSUID ? ",nosuid" : ",suid");
		buf_add_str(out, o->flags & MS_NODEV ? ",nodev" : ",dev");
	}
	if (o->flags & MS_NOEXEC)
		buf_add_str(out, ",noexec");
	if (o->flags & MS_SYNCHRONOUS)
		buf_add_str(out, ",sync");
	if (o->flags & MS_NOATIME)
		buf_add_str(out, ",noatime");
	if (o->security)
		buf_printf(out, ",%s", o->security);
	return buf_error(out) ? err_note(-ENOMEM, "out of memory") : 0;
}
