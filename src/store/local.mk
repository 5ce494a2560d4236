noinst_LTLIBRARIES += libstore.la
libstore_la_SOURCES = src/store/store.h src/store/internal.h src/store/store.c src/store/mem.c \
	src/store/file.h src/store/file.c src/store/file_list.c src/store/file_root.c \
	src/store/retry.c src/store/trace.c src/store/fault.c \
	src/store/s3.h src/store/s3.c src/store/s3_multipart.c src/store/s3_call.c src/store/s3_error.c \
	src/store/s3_http.c src/store/s3_pace.c src/store/s3_examine.c src/store/s3_sign.c src/store/s3_xml.c src/store/s3_url.c src/store/s3_known.c src/store/s3_extra.c \
	src/store/s3_cred.h src/store/s3_keys.c src/store/s3_chain.c src/store/s3_cred.c src/store/s3_secret.c src/store/s3_files.c \
	src/store/s3_process.c src/store/s3_host.c src/store/s3_sts.c src/store/s3_sso.c src/store/s3_fetch.c
