/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every option of a filesystem: name, unit, default, range, and what to know to decide whether to change it.
 * Parsing, --help, completion, the manual pages and the README's table all come from here: after a
 * change, `make update-docs` (tests/docs insists). In what people read, `…` is to be taken literally.
 */
#include "fs/option.h"

#define TIB (1024 * GIB)
#define PIB (1024 * TIB)
#define INFO(...) { __VA_ARGS__, NULL } /* the range is filled in by fs_options */
#define FIELD(name) offsetof(struct fs_config, name)
#define VALUE(kind, name) KIND_##kind, FIELD(name), 0, 0, { { 0 } }, 0
#define NUMBER(kind, name, min, max) KIND_##kind, FIELD(name), min, max, { { 0 } }, 0
#define SHARE(name, percent, min, max) \
	KIND_SHARE, FIELD(name), min, max, { { 0 } }, FIELD(percent)
#define FLAG(...) KIND_FLAG, 0, 0, 0, { __VA_ARGS__ }, 0
#define SETS(name) { FIELD(name), true }
#define CLEARS(name) { FIELD(name), false }

/* clang-format off: a table is read by its lines */
const struct fs_option fs_option_table[] = {

/* ---- the cache, memory, time ---- */

{ INFO("cache_dir", "DIR", "/var/cache/levels3fs (root) or ~/.cache/levels3fs",
    "disk cache, may be deleted at any time; \"none\": memory only",
    "Pieces of objects are kept there, so that they are not fetched again, also not after a restart. "
    "The folder is made if missing, must belong to who mounts, and may be deleted even in use. "
    "Filesystems can share one; only one mount at a time uses a filesystem's part of it. "
    "Put it on the fastest local disk; \"none\" suits machines without a disk worth the name."),
  VALUE(DIR, cache_dir) },
{ INFO("cache_size", "SIZE", "10%", "most that the disk cache may take: a size, or a part of the disk that it is on",
    "The least recently used goes first. "
    "Whatever is said here, a twentieth of the disk stays free for others, but 1 GiB at least and 50 GiB at most. "
    "More is better as long as what is read again and again does not fit; `levels3fs status` tells how often the "
    "cache had what was read."),
  SHARE(cache_size_bytes, cache_size_percent, 16 * MIB, PIB) },
{ INFO("mem_limit", "SIZE", "512M", "memory for unsent data and caches; writers wait beyond it",
    "When the store is slower than the writers, they wait at this limit. "
    "More helps many parallel streams, and a distant store; less suits small machines."),
  NUMBER(SIZE, mem_limit_bytes, 64 * MIB, TIB) },
{ INFO("commit", "SECONDS", "5", "everything written is durable after this long even without fsync",
    "Smaller loses less in a crash, and costs a PUT per interval in which something was written."),
  NUMBER(DURATION, commit_ms, 100, MS_PER_HOUR) },

/* ---- the lease ---- */

{ INFO("lease", "SECONDS", "30", "how long a host that died keeps others from mounting",
    "A writer that cannot reach the store for so long stops acknowledging until it can. "
    "Smaller hands over sooner to a standby; larger rides out longer outages of the network."),
  NUMBER(DURATION, lease_ms, MS_PER_S, MS_PER_HOUR) },
{ INFO("renew", "SECONDS", "10", "how often the lease is renewed; less than half of it",
    "One PUT each time, all that an idle mount sends. "
    "Change it along with `lease`: a third of that lets two renewals fail."),
  NUMBER(DURATION, renew_ms, 100, MS_PER_HOUR) },
{ INFO("lease_wait", "SECONDS", "0", "how long to wait for somebody else's lease; 0: refuse at once",
    "For a standby, or a machine that starts before the one it replaces has let go."),
  NUMBER(DURATION, lease_wait_ms, 0, MS_PER_DAY) },

/* ---- requests ---- */

{ INFO("retry", "COUNT", "10", "attempts of a read before it fails; writes are tried until they succeed",
    "After the last one a program sees EIO. "
    "More if programs had better wait than fail."),
  NUMBER(COUNT, retry, 1, 1000) },
{ INFO("retry_delay", "SECONDS", "100ms", "first pause between attempts; doubles each time, with jitter",
    "The pause grows up to some seconds, and is drawn at random below that. "
    "There is hardly a reason to change it."),
  NUMBER(DURATION, retry_delay_ms, 1, MS_PER_MIN) },
{ INFO("timeout", "SECONDS", "30", "a request on which no byte moves for this long is given up",
    "It is then tried again. "
    "Less finds a dead line sooner; a server that thinks long before it answers needs more."),
  NUMBER(DURATION, store.timeout_ms, MS_PER_S, MS_PER_HOUR) },
{ INFO("connect_timeout", "SECONDS", "10", "time to reach the server",
    "It is then tried again. "
    "Less where there are several addresses of which some are dead."),
  NUMBER(DURATION, store.connect_timeout_ms, 100, 10 * MS_PER_MIN) },
{ INFO("connections", "COUNT", "32", "requests to the server at once, at most",
    "As many are used as there is work for. "
    "A server that asks to slow down gets half as many, and then gradually more again, without a change here. "
    "More helps on a fast line to a distant store."),
  NUMBER(COUNT, store.connections, 1, 1024) },

/* ---- where the bucket is, and with whose keys ---- */

{ INFO("endpoint", "URL", "AWS for the region", "the S3 server: https://HOST[:PORT]",
    "For every server that is not AWS; most also want `path_style`."),
  VALUE(TEXT, store.endpoint) },
{ INFO("region", "NAME", "the profile's, AWS_REGION, what the endpoint's name tells, us-east-1", "the bucket's region",
    "Where it is not given, what the server says is followed, at the price of a request or two when mounting."),
  VALUE(TEXT, store.region) },
{ INFO("profile", "NAME", "AWS_PROFILE, default", "whose keys, in ~/.aws/credentials and ~/.aws/config", NULL),
  VALUE(TEXT, store.profile) },
{ INFO("passwd_file", "FILE", "none",
    "keys for servers other than AWS: [BUCKET:]ACCESS_KEY:SECRET_KEY, mode 0600",
    "A line for each bucket, or one for all. "
    "It is the only place then where keys are looked for."),
  VALUE(PATH, store.passwd_file) },
{ INFO("anonymous", NULL, "off", "no keys: a public bucket, read-only (implies ro)", NULL),
  FLAG(SETS(store.anonymous), SETS(read_only)) },
{ INFO("path_style", NULL, "off", "https://HOST/BUCKET instead of https://BUCKET.HOST",
    "Most servers other than AWS want it."),
  FLAG(SETS(store.path_style)) },
{ INFO("dualstack", NULL, "off", "AWS' endpoints that know IPv6", NULL), FLAG(SETS(store.dualstack)) },
{ INFO("fips", NULL, "off", "AWS' endpoints with FIPS 140 cryptography, STS' too", NULL),
  FLAG(SETS(store.fips)) },

/* ---- what is said with the objects ---- */

{ INFO("sse", "KIND", "the bucket's", "the server encrypts what is written: AES256, aws:kms, aws:kms:dsse",
    "`AES256` is SSE-S3."),
  VALUE(TEXT, store.sse) },
{ INFO("sse_kms_key", "ID", "the account's", "the key of sse=aws:kms", NULL),
  VALUE(TEXT, store.sse_kms_key) },
{ INFO("sse_c_key_file", "FILE", "none", "the server encrypts with this key of 32 bytes (SSE-C), mode 0600",
    "The server forgets it after each request. "
    "The bytes are in the file as they are, or in base64. "
    "Whoever loses it has lost the filesystem. "
    "Over https only."),
  VALUE(PATH, store.sse_c_key_file) },
{ INFO("storage_class", "NAME", "STANDARD", "of the objects written: STANDARD_IA, GLACIER_IR, ...",
    "Known are `STANDARD`, `STANDARD_IA`, `ONEZONE_IA`, `GLACIER_IR`, `INTELLIGENT_TIERING`, `REDUCED_REDUNDANCY`, "
    "`OUTPOSTS` and `EXPRESS_ONEZONE`. "
    "Those with a least size or time cost more than they save: the chain's objects are small, and go soon."),
  VALUE(TEXT, store.storage_class) },
{ INFO("acl", "NAME", "the bucket's", "of the objects written: private, bucket-owner-full-control, ...",
    "Known are `private`, `public-read`, `public-read-write`, `authenticated-read`, `aws-exec-read`, "
    "`bucket-owner-read` and `bucket-owner-full-control`. "
    "For buckets of another account."),
  VALUE(TEXT, store.acl) },
{ INFO("tags", "LIST", "none", "of the objects written: NAME=VALUE&NAME=VALUE", "Written as in a URL, 10 at most."),
  VALUE(TEXT, store.tags) },
{ INFO("requester_pays", NULL, "off", "pay for requests to somebody else's bucket", NULL),
  FLAG(SETS(store.requester_pays)) },
{ INFO("ca_file", "FILE", "the system's", "certificates (PEM) that vouch for the server",
    "For a server whose certificate is of your own making."),
  VALUE(PATH, store.ca_file) },
{ INFO("no_verify_tls", NULL, "off", "do not check the server's certificate: for tests only",
    "Anybody in between can read and change everything."),
  FLAG(SETS(store.no_verify)) },

/* ---- what is stored, and how ---- */

{ INFO("grace", "SECONDS", "10m", "how long objects no longer needed stay in the store",
    "For read-only mounts and copies of the bucket that still use them: more if those are many hours behind."),
  NUMBER(DURATION, grace_ms, MS_PER_S, 30 * (uint64_t)MS_PER_DAY) },
{ INFO("segment_size", "SIZE", "16M", "size of the objects that file data is packed into",
    "Larger means fewer PUTs for large files, and more to be read and written anew when most of an object has been "
    "deleted. "
    "What is stored already keeps its size."),
  NUMBER(SIZE, segment_bytes, 256 * KIB, 256 * MIB) },
{ INFO("compress", NULL, "on", "compress file data with LZ4 where that helps", NULL), FLAG(SETS(compress)) },
{ INFO("no_compress", NULL, "off", "store file data as it is",
    "Saves a little time where all data is compressed or encrypted already."),
  FLAG(CLEARS(compress)) },
{ INFO("ro", NULL, "off", "read-only: nothing is written to the store, no lease is taken",
    "So it works beside a writer, whose state at the time of mounting it shows."),
  FLAG(SETS(read_only)) },
{ INFO("rw", NULL, "on", "read and write", NULL), FLAG(CLEARS(read_only)) },
{ INFO("create", NULL, "off", "make the filesystem if the prefix is empty",
    "Without it mounting an empty prefix is refused, so that a mistyped one is noticed."),
  FLAG(SETS(create), SETS(store.create)) },
{ INFO("lease_only", NULL, "off",
    "accept a store without conditional writes: only time guards against a second writer",
    "Never let two hosts with wrong clocks or long pauses near such a filesystem."),
  FLAG(SETS(lease_only)) },

/* ---- access times ---- */

{ INFO("relatime", NULL, "on", "access times at most once a day, or after a change",
    "The access time of a file changes when it is read, if it is not newer than the last change or older than a day. "
    "Reads that the kernel's cache serves do not reach the filesystem: opening a file for reading counts for them, "
    "unless with O_NOATIME. "
    "Access times alone are never worth a request: they are stored with the next change, by fsync(2), sync(2), "
    "unmounting, or after an hour (as with the kernel's `lazytime`)."),
  FLAG(SETS(atime), CLEARS(strictatime)) },
{ INFO("noatime", NULL, "off", "no access times", "Nothing to be stored after mere reading."),
  FLAG(CLEARS(atime), CLEARS(strictatime)) },
{ INFO("strictatime", NULL, "off", "an access time for every opening, and for every read that reaches the filesystem",
    "For programs that go by access times, such as some for mail."),
  FLAG(SETS(atime), SETS(strictatime)) },
{ INFO("nodiratime", NULL, "off", "no access times of folders", NULL), FLAG(SETS(nodiratime)) },
{ INFO("diratime", NULL, "on", "access times of folders as of files", NULL), FLAG(CLEARS(nodiratime)) },

/* ---- limits ---- */

{ INFO("size_limit", "SIZE", "0", "no space left beyond so much data, which df shows as the size; 0: none",
    "ENOSPC beyond so much data of files, to the byte, before compression. "
    "What a write was accepted for is reserved: it does not fail later. "
    "Nothing is set aside for root. "
    "More than that may be there already: then it can be read and deleted. "
    "Excludes `writeback`. "
    "To bound the bill."),
  NUMBER(SIZE, size_limit_bytes, 0, 8191 * PIB) },
{ INFO("inode_limit", "COUNT", "0", "no space left beyond so many files and folders; 0: none",
    "Those that are deleted and still open are among them; `df -i` shows it."),
  NUMBER(COUNT, inode_limit, 0, UINT32_MAX) },

{ INFO(NULL, NULL, NULL, NULL, NULL), VALUE(TEXT, store.endpoint) },
};
/* clang-format on */
