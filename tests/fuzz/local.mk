# Fuzz targets: each links the core; built with --enable-fuzz (clang).
if FUZZ
FUZZ_LDADD = server/libsterna.la
FUZZ_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
