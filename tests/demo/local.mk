# The demonstration of ./start --demo: two libstrophe clients.
if HAVE_STROPHE
noinst_PROGRAMS += tests/demo/demo
tests_demo_demo_SOURCES = tests/demo/demo.c
tests_demo_demo_CPPFLAGS = $(AM_CPPFLAGS) $(STROPHE_CFLAGS)
tests_demo_demo_LDADD = $(STROPHE_LIBS)
endif
