# Modules that are no XEP; the loader finds NAME.so in the modules' folder.
module_LTLIBRARIES += modules/e2e_policy.la
modules_e2e_policy_la_SOURCES = modules/e2e_policy.c modules/e2e_policy.h
modules_e2e_policy_la_CFLAGS = $(MODULE_CFLAGS)
modules_e2e_policy_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += modules/http.la
modules_http_la_SOURCES = modules/http.c
modules_http_la_CFLAGS = $(MODULE_CFLAGS)
modules_http_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_http_la_LIBADD = $(EVENT_LIBS)

module_LTLIBRARIES += modules/metrics.la
modules_metrics_la_SOURCES = modules/metrics.c
modules_metrics_la_CFLAGS = $(MODULE_CFLAGS)
modules_metrics_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += modules/access.la
modules_access_la_SOURCES = modules/access.c xep/jid_list.c xep/jid_list.h
modules_access_la_CFLAGS = $(MODULE_CFLAGS)
modules_access_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_access_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += modules/announce.la
modules_announce_la_SOURCES = modules/announce.c
modules_announce_la_CFLAGS = $(MODULE_CFLAGS)
modules_announce_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_announce_la_LIBADD = $(JANSSON_LIBS)
