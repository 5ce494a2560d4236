/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration files, levels3fs.conf(5): what the name of a filesystem stands for, and settings
 * that hold for all.
 */
#include "fs/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/levels3fs.conf"
#define USER_FILE "levels3fs/config" /* in ~/.config */
#define FILE_MAX ((size_t)1 << 20)
#define FOR_ALL "defaults"
#define FILES_MAX 2
#define NAMES_MAX 64

struct file {
	struct buf path, text;
	bool there;
};

struct lookup {
	const char *section;
	fs_option_fn set;
	void *ctx;
	struct fs_place *place;
	bool found;
};

/* ---- the files ---- */

/* LEVELS3FS_CONFIG names one instead of both. NULL: it does not. */
static const char *own_file(void)
{
	const char *own = getenv("LEVELS3FS_CONFIG");

	return own && *own ? own : NULL;
}

static size_t find_files(struct file files[FILES_MAX])
{
	const char *own = own_file(), *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	size_t n = 0;

	if (own) {
		buf_add_str(&files[n++].path, own);
		return n;
	}
	buf_add_str(&files[n++].path, SYSTEM_FILE);
	if (xdg && *xdg == '/')
		buf_printf(&files[n++].path, "%s/" USER_FILE, xdg);
	else if (home && *home == '/')
		buf_printf(&files[n++].path, "%s/.config/" USER_FILE, home);
	return n;
}

/* It says what is mounted, with whose keys: nobody else may write it. */
static int check_owner(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return err_note(-L3_BAD_OPTION, "%s is no file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_note(-L3_DENIED, "%s belongs to user %d: chown %d %s", path,
				(int)st.st_uid, (int)geteuid(), path);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_note(-L3_DENIED, "%s can be written by others: chmod go-w %s", path,
				path);
	return 0;
}

/* None is fine, unless it was asked for. */
static int read_file(struct file *f)
{
	const char *path = buf_cstr(&f->path);
	int err = check_owner(path);

	if (err >= 0)
		err = file_read_all(path, FILE_MAX, &f->text);
	if ((err == -ENOENT || err == -ENOTDIR) && !own_file())
		return 0;
	if (err == -L3_DENIED || err == -L3_BAD_OPTION)
		return err;
	if (err < 0)
		return err_note(err, "cannot read %s: %s", path, err_text(err));
	f->there = true;
	(void)buf_cstr(&f->text);
	return buf_error(&f->text);
}

static int read_files(struct file files[FILES_MAX], size_t *ret_count)
{
	int err = 0;

	*ret_count = find_files(files);
	for (size_t i = 0; err >= 0 && i < *ret_count; i++)
		err = read_file(&files[i]);
	return err;
}

static void release_files(struct file files[FILES_MAX])
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		buf_release(&files[i].path);
		buf_release(&files[i].text);
	}
}

/* ---- settings ---- */

static int keep(char **slot, const char *value)
{
	free(*slot);
	*slot = strdup(value);
	return *slot ? 0 : err_note(-ENOMEM, "out of memory");
}

/* A flag stands alone or says yes. */
static int set_option(struct lookup *l, const char *name, const char *value)
{
	bool on;
	int err = l->set(l->ctx, name, value);

	if (err != -L3_BAD_OPTION || !value || parse_bool(value, &on) < 0)
		return err;
	return on ? l->set(l->ctx, name, NULL) : err;
}

static int take_setting(struct lookup *l, const char *name, const char *value)
{
	bool has_value = value && *value;

	if (strcmp(name, "url") != 0 && strcmp(name, "mountpoint") != 0)
		return set_option(l, name, value);
	if (!has_value)
		return err_note(-L3_BAD_OPTION, "%s needs a value", name);
	if (strcmp(l->section, FOR_ALL) == 0)
		return err_note(-L3_BAD_OPTION, "%s cannot be the same for all filesystems", name);
	if (*name == 'm' && *value != '/')
		return err_note(-L3_BAD_OPTION, "mountpoint = %s: must be an absolute path", value);
	return keep(*name == 'u' ? &l->place->url : &l->place->mountpoint, value);
}

static int take_line(struct lookup *l, const struct ini_line *line)
{
	char *name CLEANUP(free_ptr) = strndup(line->name, line->name_len);
	char *value CLEANUP(free_ptr) = line->value ? strndup(line->value, line->value_len) : NULL;

	if (!name || (line->value && !value))
		return err_note(-ENOMEM, "out of memory");
	if (line->kind != INI_SETTING)
		return err_note(-L3_BAD_OPTION, "neither \"[NAME]\" nor \"OPTION = VALUE\"");
	return take_setting(l, name, value);
}

static bool is_named(const struct ini_line *line, const char *section)
{
	return line->name_len == strlen(section) &&
	       memcmp(line->name, section, line->name_len) == 0;
}

static int take_section(struct lookup *l, struct file *f)
{
	struct ini ini = { buf_cstr(&f->text), 0 };
	struct ini_line line;
	bool inside = false;
	int err = 0;

	while (err >= 0 && f->there && ini_next(&ini, &line)) {
		if (line.kind == INI_SECTION)
			inside = is_named(&line, l->section);
		if (line.kind == INI_SECTION && inside)
			l->found = true;
		else if (inside)
			err = take_line(l, &line);
	}
	return err < 0 ? err_wrap(err, "%s:%u", buf_cstr(&f->path), line.number) : 0;
}

static int take_sections(struct lookup *l, struct file *files, size_t count)
{
	int err = 0;

	for (size_t i = 0; err >= 0 && i < count; i++)
		err = take_section(l, &files[i]);
	return err;
}

/* ---- names ---- */

static bool is_url(const char *word)
{
	return strchr(word, ':') || strchr(word, '/');
}

static bool is_among(const struct ini_line *line, char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_named(line, names[i]))
			return true;
	return false;
}

/* Each once. */
static void collect_names(struct file *f, char *names[NAMES_MAX], size_t *count)
{
	struct ini ini = { buf_cstr(&f->text), 0 };
	struct ini_line line;

	while (f->there && *count < NAMES_MAX && ini_next(&ini, &line)) {
		char *name = line.kind == INI_SECTION && !is_named(&line, FOR_ALL) &&
					     !is_among(&line, names, *count)
				     ? strndup(line.name, line.name_len)
				     : NULL;

		if (name)
			names[(*count)++] = name;
	}
}

static int unknown(const char *word, struct file *files, size_t count)
{
	const char *second = count > 1 ? buf_cstr(&files[1].path) : NULL, *near;
	char *names[NAMES_MAX] = { NULL };
	size_t n = 0;
	int err;

	for (size_t i = 0; i < count; i++)
		collect_names(&files[i], names, &n);
	near = nearest_name(word, (const char *const *)names, n);
	err = err_note(
		-L3_BAD_OPTION,
		"\"%s\" is no URL (s3://BUCKET/PREFIX or file:///ABSOLUTE/PATH), and no [%s] "
		"is in %s%s%s%s%s%s",
		word, word, buf_cstr(&files[0].path), second ? " or " : "", second ? second : "",
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	return err;
}

static int look_up(struct lookup *l, const char *word, struct file *files, size_t count)
{
	int err;

	l->section = FOR_ALL;
	err = take_sections(l, files, count);
	if (err < 0)
		return err;
	if (is_url(word))
		return keep(&l->place->url, word);
	l->section = word;
	l->found = false;
	err = strcmp(word, FOR_ALL) == 0 ? 0 : take_sections(l, files, count);
	if (err < 0)
		return err;
	if (!l->found || strcmp(word, FOR_ALL) == 0)
		return unknown(word, files, count);
	if (!l->place->url)
		return err_note(-L3_BAD_OPTION, "[%s] has no \"url = …\"", word);
	return 0;
}

int fs_place_find(const char *word, fs_option_fn set, void *ctx, struct fs_place *ret)
{
	struct lookup l = { .set = set, .ctx = ctx, .place = ret };
	struct file files[FILES_MAX] = { { BUF_INIT, BUF_INIT, false },
					 { BUF_INIT, BUF_INIT, false } };
	size_t count;
	int err;

	*ret = (struct fs_place){ NULL, NULL };
	err = read_files(files, &count);
	if (err >= 0)
		err = look_up(&l, word, files, count);
	release_files(files);
	if (err < 0)
		fs_place_release(ret);
	return err;
}

static int ignore(void *ctx, const char *name, const char *value)
{
	return 0;
}

static int tell(const char *name, struct file *files, size_t count, fs_place_fn each, void *ctx)
{
	struct fs_place place = { NULL, NULL };
	struct lookup l = { .section = name, .set = ignore, .place = &place };
	int err = take_sections(&l, files, count);

	if (err >= 0)
		err = each(ctx, name, &place);
	fs_place_release(&place);
	return err;
}

int fs_place_each(fs_place_fn each, void *ctx)
{
	struct file files[FILES_MAX] = { { BUF_INIT, BUF_INIT, false },
					 { BUF_INIT, BUF_INIT, false } };
	char *names[NAMES_MAX] = { NULL };
	size_t count, n = 0;
	int err = read_files(files, &count);

	for (size_t i = 0; err >= 0 && i < count; i++)
		collect_names(&files[i], names, &n);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = tell(names[i], files, count, each, ctx);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	release_files(files);
	return err;
}

void fs_place_release(struct fs_place *p)
{
	free(p->url);
	free(p->mountpoint);
	*p = (struct fs_place){ NULL, NULL };
}
