/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The super object: what a prefix holds, in which format, under which uuid.
 *
 * Payload: u32 kind, u32 state, u64 compat, u64 ro_compat, u64 incompat, 16 bytes uuid, u64 hash
 * seed, i64 time of creation (ns since 1970).
 */
#include "db/db.h"

#include <errno.h>
#include <string.h>

/* Feature flags that this version knows. */
#define KNOWN_RO_COMPAT ((uint64_t)0)
#define KNOWN_INCOMPAT ((uint64_t)(SUPER_INCOMPAT_RANGES | SUPER_INCOMPAT_LOST))

static void encode(const struct super *s, struct buf *out)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	buf_u32(&b, s->kind);
	buf_u32(&b, s->state);
	buf_u64(&b, s->compat);
	buf_u64(&b, s->ro_compat);
	buf_u64(&b, s->incompat);
	buf_add(&b, s->uuid.bytes, sizeof(s->uuid.bytes));
	buf_u64(&b, s->hash_seed);
	buf_u64(&b, (uint64_t)s->created_real_ns);
	frame_put(out, FRAME_SUPER, &s->uuid, b.data, b.len);
	if (b.failed)
		out->failed = true;
}

static int decode(const struct buf *raw, struct super *ret)
{
	struct uuid frame_uuid;
	const uint8_t *uuid;
	struct rd r;
	int err = frame_get(raw->data, raw->len, FRAME_SUPER, NULL, SUPER_KEY, &r, &frame_uuid);

	if (err)
		return err;
	ret->kind = rd_u32(&r);
	ret->state = rd_u32(&r);
	ret->compat = rd_u64(&r);
	ret->ro_compat = rd_u64(&r);
	ret->incompat = rd_u64(&r);
	uuid = rd_take(&r, sizeof(ret->uuid.bytes));
	if (uuid)
		memcpy(ret->uuid.bytes, uuid, sizeof(ret->uuid.bytes));
	ret->hash_seed = rd_u64(&r);
	ret->created_real_ns = (int64_t)rd_u64(&r);
	if (rd_error(&r) || memcmp(&frame_uuid, &ret->uuid, sizeof(frame_uuid)) != 0 ||
	    ret->state > SUPER_REPAIRING)
		return err_note(-L3_CORRUPT, "%s holds no proper super object", SUPER_KEY);
	return 0;
}

/* 1 if there is any object, 0 if there is none. */
static int prefix_used(struct store *s)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list(s, "", NULL, 1, &l);

	return err ? err : l.count > 0;
}

static int say_absent(struct store *s)
{
	int used = prefix_used(s);

	if (used < 0)
		return used;
	if (used)
		return err_note(-L3_NOT_LEVELS3,
				"%s holds objects, but none of levels3: a mistyped prefix?",
				s->url);
	return err_note(-L3_NOT_LEVELS3, "%s is empty: make a filesystem with \"levels3fs mkfs\"",
			s->url);
}

static int check_features(const struct store *store, const struct super *s, bool for_writing)
{
	if (s->incompat & ~KNOWN_INCOMPAT)
		return err_note(-L3_VERSION,
				"%s was made by a newer levels3, with features that this one does "
				"not know (%#llx)",
				store->url, (unsigned long long)(s->incompat & ~KNOWN_INCOMPAT));
	if (for_writing && (s->ro_compat & ~KNOWN_RO_COMPAT))
		return err_note(
			-L3_VERSION,
			"%s has features of a newer levels3 (%#llx), with which this one may "
			"only read it: -o ro",
			store->url, (unsigned long long)(s->ro_compat & ~KNOWN_RO_COMPAT));
	return 0;
}

static int get(struct store *s, struct super *ret, struct buf *raw, struct store_meta *ret_meta)
{
	int err = store_get(s, SUPER_KEY, 0, STORE_TO_END, raw, ret_meta);

	return err ? err : decode(raw, ret);
}

int super_read(struct store *s, bool for_writing, struct super *ret, struct buf *ret_raw)
{
	struct buf own CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	struct super super;
	int err = get(s, &super, ret_raw ? ret_raw : &own, &meta);

	if (err == -ENOENT)
		return say_absent(s);
	if (!err)
		err = check_features(s, &super, for_writing);
	if (err)
		return err;
	*ret = super;
	memcpy(ret->etag, meta.etag, sizeof(ret->etag));
	if (super.state == SUPER_REPAIRING)
		return err_note(-L3_NOT_LEVELS3,
				"a repair of %s was interrupted; finish it with: levels3fs fsck --repair %s",
				s->url, s->url);
	if (super.state != SUPER_READY)
		return err_note(-L3_NOT_LEVELS3, "%s was left by an interrupted mkfs: run it again",
				s->url);
	return 0;
}

int super_look(struct store *s, bool for_writing, struct super *ret, struct buf *ret_raw)
{
	int err = super_read(s, for_writing, ret, ret_raw);

	/* Found, and in a state that others refuse. */
	return err == -L3_NOT_LEVELS3 && ret->kind == SUPER_KIND_FS &&
			       ret->state == SUPER_REPAIRING
		       ? 0
		       : err;
}

/* An object is there: an interrupted mkfs' can be gone on with. */
static int adopt(struct store *s, struct super *super)
{
	struct buf raw CLEANUP(buf_release) = BUF_INIT;
	struct super found;
	int err = get(s, &found, &raw, NULL);

	if (!err)
		err = check_features(s, &found, true);
	if (err)
		return err;
	if (found.state != SUPER_FORMATTING || found.kind != super->kind)
		return err_note(
			-EEXIST,
			"%s holds a levels3 %s already; use it, or name another prefix or folder",
			s->url, found.kind == SUPER_KIND_FS ? "filesystem" : "database");
	*super = found;
	return 0;
}

int super_create(struct store *s, struct super *super)
{
	static const struct uuid no_uuid;
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	int err = adopt(s, super);

	if (err != -ENOENT)
		return err;
	err = prefix_used(s);
	if (err > 0)
		return err_note(
			-L3_NOT_LEVELS3,
			"%s is not empty, and holds no levels3: name a prefix or folder of its own",
			s->url);
	if (err < 0)
		return err;
	if (memcmp(&super->uuid, &no_uuid, sizeof(no_uuid)) == 0)
		uuid_make(&super->uuid);
	super->state = SUPER_FORMATTING;
	encode(super, &b);
	err = buf_error(&b);
	if (!err)
		err = store_put_bytes(s, SUPER_KEY, b.data, b.len, STORE_CREATE, NULL, NULL);
	return err == -L3_PRECONDITION ? adopt(s, super) : err;
}

int super_finish(struct store *s, struct super *super)
{
	struct buf raw CLEANUP(buf_release) = BUF_INIT, b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	struct super found;
	int err = get(s, &found, &raw, &meta);

	if (err)
		return err == -ENOENT ? err_note(-L3_CORRUPT, "%s is missing", SUPER_KEY) : err;
	if (memcmp(&found.uuid, &super->uuid, sizeof(found.uuid)) != 0)
		return err_note(-EEXIST, "another mkfs took %s over", s->url);
	if (found.state == SUPER_READY) {
		super->state = SUPER_READY;
		return 0;
	}
	found.state = SUPER_READY;
	encode(&found, &b);
	err = buf_error(&b);
	if (!err)
		err = store_put_bytes(s, SUPER_KEY, b.data, b.len, STORE_MATCH, meta.etag, NULL);
	if (!err)
		*super = found;
	return err;
}

#define CHANGE_TRIES 8 /* others may probe the object just now (lease_probe) */

static int try_change(struct store *s, struct super *super, uint64_t incompat,
		      enum super_state state)
{
	struct buf raw CLEANUP(buf_release) = BUF_INIT, b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	struct super found;
	int err = get(s, &found, &raw, &meta);

	if (!err)
		err = check_features(s, &found, true);
	if (!err && memcmp(&found.uuid, &super->uuid, sizeof(found.uuid)) != 0)
		err = err_note(-L3_CORRUPT, "another filesystem has taken the place of this one");
	if (err)
		return err;
	found.incompat |= incompat;
	found.state = state;
	encode(&found, &b);
	err = buf_error(&b);
	if (!err)
		err = store_put_bytes(s, SUPER_KEY, b.data, b.len, STORE_MATCH, meta.etag, NULL);
	if (!err)
		*super = found;
	return err;
}

int super_require(struct store *s, struct super *super, uint64_t incompat)
{
	int err = 0;

	for (int i = 0; i < CHANGE_TRIES && (super->incompat & incompat) != incompat; i++) {
		err = try_change(s, super, incompat, super->state);
		if (err && err != -L3_PRECONDITION)
			break;
	}
	return err ? err_wrap(err, "noting new features in %s", SUPER_KEY) : 0;
}

int super_mark(struct store *s, struct super *super, enum super_state state)
{
	int err = 0;

	for (int i = 0; i < CHANGE_TRIES && super->state != state; i++) {
		err = try_change(s, super, 0, state);
		if (err && err != -L3_PRECONDITION)
			break;
	}
	return err ? err_wrap(err, "noting a repair in %s", SUPER_KEY) : 0;
}
