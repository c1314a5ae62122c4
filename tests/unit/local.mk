# A unit test: three lines (check_PROGRAMS and TESTS, _SOURCES, _LDADD).
