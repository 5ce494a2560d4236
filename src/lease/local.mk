noinst_LTLIBRARIES += liblease.la
liblease_la_SOURCES = src/lease/lease.h src/lease/internal.h src/lease/lease.c \
	src/lease/acquire.c src/lease/record.c src/lease/process.c src/lease/probe.c
