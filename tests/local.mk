# Tests. Each unit file is a program of its own that links the core.
include tests/sim/local.mk
if HAVE_CHECK
UNIT_LDADD = server/libsterna.la $(CHECK_LIBS)
UNIT_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
include tests/unit/local.mk
endif

include tests/fuzz/local.mk
include tests/bench/local.mk
include tests/demo/local.mk
include tests/integration/local.mk
include tests/crash/local.mk
EXTRA_DIST += tests/attacks tests/pg
