/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data: file bytes in segments.
 *
 * A segment is an immutable object data/<epoch>-<n>, up to segment_bytes long: a frame header, the
 * stored bytes of extents one after another, an index of them, a footer. An extent is at most
 * DATA_EXTENT_MAX raw bytes, LZ4-compressed where that helps, with an XXH3-64 that is checked on
 * every read. What does not compress has one for each 4 KiB, so that a part of it is fetched and
 * checked alone. A data_ref says where an extent is.
 *
 * Segments being filled or uploaded stay in memory and are read from there. Two are open at a time:
 *
 *   - the *commit* segment takes what an fsync or a metadata operation forces out. Its references
 * go into the database at once; a commit either carries its unsent bytes itself (data_cut: parts,
 * one PUT in all) or waits until it is uploaded.
 *   - the *stream* segment takes bulk data. Its references go into the database when it is durable
 *     (data_on_durable), so that streams never slow their neighbours' commits; or earlier, when
 * order demands it, after data_require, and then the next cut waits for it.
 *
 * The owner (fs) keeps the references; this room knows no inodes but as numbers in the index. A cut
 * and appends to the commit segment exclude each other by the owner's seal lock.
 *
 * Appends never wait for the network. Memory: the bytes of segments not yet durable are forced into
 * `budget`, and given back soon after they are (when the cache has been told); the owner makes its
 * writers wait for that budget.
 * Any thread, no locks held by the caller that the network must not hold, unless said.
 */
#ifndef LEVELS3_DATA_H
#define LEVELS3_DATA_H

#include "cache/cache.h"
#include "store/store.h"

#define DATA_EXTENT_MAX (128 * 1024)
#define DATA_KEY_MAX 40

struct data;

enum data_codec { DATA_RAW = 0, DATA_LZ4 = 1, DATA_BLOCKS = 2 };

struct data_ref {	  /* where one extent's stored bytes are */
	uint64_t segment; /* epoch << 32 | n */
	uint32_t offset;  /* in the object */
	uint32_t stored_bytes;
	uint32_t raw_bytes;
	uint8_t codec;
	uint64_t sum; /* XXH3-64 of the stored bytes, or of the blocks' sums */
};
/* -L3_CORRUPT when no writer could have made such a reference. */
int data_ref_check(const struct data_ref *ref);
/* So many raw bytes are read and checked by themselves, from multiples of it on; all, for most forms. */
uint32_t data_ref_unit(const struct data_ref *ref);
/* Where in the object that ends which has these raw bytes and their checksums. */
uint64_t data_ref_end(const struct data_ref *ref, uint32_t raw_offset, uint32_t len);

enum data_class { DATA_COMMIT, DATA_STREAM };

struct data_config {
	struct store *forever; /* uploads */
	struct cache *cache;   /* reads; written through */
	struct uuid fs;
	uint64_t epoch; /* of this mount: new segments' names; 0: read-only */
	uint64_t
		segment_bytes; /* 16 MiB; sealed when an extent would pass it; 129 KiB to 256 MiB */
	uint64_t embed_bytes;  /* commits carry up to this much unsent data themselves: 512 KiB */
	unsigned upload_threads; /* 4; one more is kept for what commits wait for */
	unsigned read_threads;	 /* 8: parallel ranged GETs of one read, readahead */
	bool compress;
	struct budget *budget;
	struct clock *clock; /* NULL: the system's */
	/* Called from an upload thread when a stream segment has become durable; data_wait may have
	 * returned before. No locks held. */
	void (*on_durable)(void *ctx, uint64_t segment);
	void *ctx;
};

int data_open(const struct data_config *config, struct data **ret);
/* Uploads stop after the ones under way (so in trouble store_cancel(forever) first); what is not
 * durable is dropped. NULL is fine. */
void data_close(struct data *d);

/* "data/0000000007-0000000042" for a segment, and back (-EINVAL if not of that form). */
void data_key(uint64_t segment, char out[DATA_KEY_MAX]);
int data_key_parse(const char *key, uint64_t *ret_segment);

/* ---- writing ---- */

/* Compresses and appends one extent (1 to DATA_EXTENT_MAX bytes) of file `ino` at file_offset.
 * Memory and CPU only. 0, -ENOMEM, -EROFS. For DATA_COMMIT the caller holds its seal lock shared
 * from here until the reference is in the database. */
int data_append(struct data *d, enum data_class class, uint64_t ino, uint64_t file_offset,
		const void *raw, size_t raw_bytes, struct data_ref *ret);
/* True once the segment's object exists in the store (also for segments this mount knows nothing
 * of). */
bool data_is_durable(struct data *d, uint64_t segment);
/* References to this stream segment are about to enter the database: the next cut must wait for it.
 * Seals it if it is open. Seal lock held shared, like data_append. */
void data_require(struct data *d, uint64_t segment);
/* Seals the open stream segment so that its upload starts (sync, the commit interval). */
void data_push_stream(struct data *d);

/* What the cut that is being made needs. Called in before_seal (seal lock exclusive). Either
 * `parts` (at most embed_bytes in all: put them into the slot; data_part_done afterwards), or
 * `waits`: segments the slot has to wait for with data_wait. Released by data_cut_release. */
struct data_part {
	uint64_t segment;
	uint64_t offset;
	const uint8_t *data; /* stays valid until data_part_done */
	size_t len;
};
struct data_cut {
	struct data_part *parts;
	size_t part_count;
	uint64_t *waits;
	size_t wait_count;
};
int data_cut(struct data *d, struct data_cut *ret);
void data_cut_release(struct data_cut *cut); /* the arrays only */
/* Once for each part. result != 0: the slot was not written, so a later cut carries the bytes
 * again. */
void data_part_done(struct data *d, uint64_t segment, int result);
/* Waits until the segment is durable; seals it if it is open. 0; -ECANCELED when data_cancel was
 * called; -L3_FENCED when a newer mount wrote the object, -L3_CORRUPT when it exists and is not
 * ours: for good, the bytes then stay readable in memory (and in the budget). */
int data_wait(struct data *d, uint64_t segment);
/* Before a checkpoint: seals and uploads everything that slots carry as parts, and waits. */
int data_store_parts(struct data *d);
/* After a crash: a part found in a slot. They come in order; those of one segment are contiguous
 * and begin with the segment's own header. The segment is readable at once, and becomes a proper
 * object by data_store_parts (which accepts that the old writer's own upload, with the same bytes
 * and perhaps more after them, got there first). Its index is rebuilt only as far as known: see
 * data_recover_index. A stretch that comes twice with the same bytes is fine; else -L3_CORRUPT.
 * Nobody may read meanwhile. */
int data_recover_part(struct data *d, uint64_t segment, uint64_t offset, const void *bytes,
		      size_t len);
/* After the last part: the database's references into recovered segments, so that their index can
 * be written. Unreferenced stretches are simply not in the index. A reference past the parts proves
 * that the object exists: data_store_parts then only checks it. References elsewhere are ignored.
 */
int data_recover_index(struct data *d, uint64_t ino, uint64_t file_offset,
		       const struct data_ref *ref);
bool data_is_recovered(struct data *d, uint64_t segment); /* true if data_recover_part made it */
/* How much of it slots carried; 0: it is none of these, or its object has been made or checked since. */
uint64_t data_recovered_bytes(struct data *d, uint64_t segment);
/* For fsck, before data_store_parts. Does the object of a recovered segment begin with what slots carried? 0; also
 * if there is none yet. -L3_CORRUPT, with a note: it does not, asked twice. Else that could not be found out. */
int data_recovered_check(struct data *d, uint64_t segment);
/* What slots carried, in place of such a beginning, in one PUT; what the object has behind it stays. The caller
 * has made sure that nobody else writes, and of a copy. */
int data_recovered_replace(struct data *d, uint64_t segment);
void data_cancel(struct data *d);

/* ---- reading ---- */

struct data_piece { /* raw_offset..+len of one extent's raw bytes, wanted at dst */
	struct data_ref ref;
	uint32_t raw_offset;
	uint32_t len;
	uint8_t *dst;
};
enum data_reach {
	DATA_EXACT,  /* what is wanted, and more only where readers come back to a neighbourhood */
	DATA_AROUND, /* whole extents, and what was written near them: the reader goes on from here
		      */
};
/* Reads all pieces; neighbours in one segment are fetched with one GET, several GETs go in
 * parallel. -L3_CORRUPT names segment, offset and inode-independent cause; store errors otherwise.
 * A bad cached copy is fetched again before that is said. */
int data_read(struct data *d, const struct data_piece *pieces, size_t count, enum data_reach reach);
/* Starts fetching in the background; a hint. */
void data_prefetch(struct data *d, const struct data_ref *refs, size_t count);
/* Could its bytes be read now without asking the store? */
bool data_is_at_hand(struct data *d, const struct data_ref *ref);

/* ---- for the cleaner and fsck ---- */

struct data_index_entry {
	uint64_t ino;
	uint64_t file_offset;
	struct data_ref ref;
};
/* Reads a stored segment's index (two small GETs). *ret: free() it. *ret_object_bytes: the object's
 * size. -EBUSY while the segment is not stored yet; -ENOENT; -L3_CORRUPT. */
int data_read_index(struct data *d, uint64_t segment, struct data_index_entry **ret,
		    size_t *ret_count, uint64_t *ret_object_bytes);

/* The request of a commit took so long: where streams make commits slow, fewer of them are uploaded at a time. */
void data_commit_took(struct data *d, uint64_t ns);

struct data_stats {
	uint64_t open_bytes;	  /* appended, not yet sealed */
	uint64_t uploading_bytes; /* sealed, not yet durable */
	uint64_t segments_stored;
	uint64_t raw_bytes, stored_bytes; /* of all extents appended */
};
void data_stats(struct data *d, struct data_stats *ret);

#endif
