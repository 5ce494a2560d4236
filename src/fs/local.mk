noinst_LTLIBRARIES += libl3fs.la
libl3fs_la_SOURCES = \
	src/fs/fs.h src/fs/internal.h src/fs/bytes.h src/fs/names.h \
	src/fs/fs.c src/fs/option.h src/fs/option_table.c src/fs/options.c src/fs/conf.c \
	src/fs/keys.c src/fs/icache.c src/fs/txn.c \
	src/fs/attr.c src/fs/lazy.c src/fs/limit.c src/fs/acl.c src/fs/entry.c src/fs/dir.c src/fs/make.c src/fs/remove.c \
	src/fs/rename.c src/fs/xattr.c src/fs/flags.c \
	src/fs/orphan.c src/fs/reap.c \
	src/fs/check.h src/fs/check.c src/fs/check_names.c src/fs/check_data.c src/fs/check_read.c src/fs/check_units.c \
	src/fs/check_refs.c src/fs/check_say.c src/fs/mend.c src/fs/mend_names.c src/fs/mend_bytes.c \
	src/fs/fsck.c src/fs/format.c \
	src/fs/dirty.c src/fs/extent.c src/fs/pending.c src/fs/flush.c src/fs/tick.c src/fs/lag.c src/fs/tree.h src/fs/tree.c src/fs/warm.c \
	src/fs/file.c src/fs/read.c src/fs/space.c src/fs/refs.c src/fs/recover.c src/fs/copy.c src/fs/shift.c src/fs/clean.c \
	src/fs/gather.c src/fs/move.c src/fs/gc.c
