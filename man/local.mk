dist_man_MANS += man/levels3fs.1 man/mount.levels3fs.8 man/levels3fs.conf.5

# For developers: puts the program's tables of options into the pages. What it made is in the repository, and in
# release archives, so that building needs no program that runs.
EXTRA_PROGRAMS += man/fill
CLEANFILES += man/fill$(EXEEXT)
man_fill_SOURCES = man/fill.c fuse/options.h fuse/options.c
man_fill_LDADD = $(FS_LIBS)
nodist_EXTRA_man_fill_SOURCES = dummy.cc
FILLED_PAGES = man/mount.levels3fs.8 man/levels3fs.conf.5 README.md
update-docs: man/fill$(EXEEXT)
	for page in $(FILLED_PAGES); do \
		man/fill$(EXEEXT) $(srcdir)/$$page >filled.tmp && cat filled.tmp >$(srcdir)/$$page || exit 1; \
	done
	rm -f filled.tmp
.PHONY: update-docs
TESTS += tests/docs
EXTRA_DIST += tests/docs
check_DATA += man/fill$(EXEEXT)
