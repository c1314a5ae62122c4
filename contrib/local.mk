# contrib: what an installation needs beside programs, modules and migrations.

# Headers: server/module.h and what it includes. A module out of the tree says #include "server/module.h".
moduleincludedir = $(includedir)/sterna/server
moduleinclude_HEADERS = \
	server/base64.h \
	server/buf.h \
	server/db.h \
	server/elem.h \
	server/fold.h \
	server/jid.h \
	server/log.h \
	server/loop.h \
	server/mem.h \
	server/metric.h \
	server/map.h \
	server/module.h \
	server/option.h \
	server/result.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = contrib/sterna.pc

# The administrators' page.
consoledir = $(pkgdatadir)/console
dist_console_DATA = contrib/console/console.css contrib/console/console.js contrib/console/icon.svg contrib/console/index.html \
	contrib/console/xmpp.js

# The service.
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
systemdsystemunit_DATA = contrib/systemd/sterna.service
CONTRIB_MADE = \
	contrib/sterna.yaml \
	contrib/systemd/sterna.service \
	contrib/systemd/sterna.sysusers \
	contrib/systemd/sterna.tmpfiles
noinst_DATA = $(CONTRIB_MADE)
CLEANFILES += $(CONTRIB_MADE)

$(CONTRIB_MADE): contrib/local.mk Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed -e 's|@bindir[@]|$(bindir)|g' -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@confdir[@]|$(sysconfdir)/sterna|g' \
		-e 's|@statedir[@]|$(localstatedir)/lib/sterna|g' -e 's|@runstatedir[@]|$(runstatedir)|g' \
		$(srcdir)/$@.in > $@.tmp && mv $@.tmp $@
contrib/sterna.yaml: contrib/sterna.yaml.in
contrib/systemd/sterna.service: contrib/systemd/sterna.service.in
contrib/systemd/sterna.sysusers: contrib/systemd/sterna.sysusers.in
contrib/systemd/sterna.tmpfiles: contrib/systemd/sterna.tmpfiles.in

# A configuration that is there already is the administrator's: the new one lies beside the documents.
exampledir = $(docdir)/examples
example_DATA = contrib/sterna.yaml

# Modules are opened by path: libtool's .la files would only lie about.
install-data-hook:
	for m in $(module_LTLIBRARIES); do rm -f "$(DESTDIR)$(moduledir)/$${m##*/}"; done
	$(MKDIR_P) "$(DESTDIR)$(sysconfdir)/sterna" "$(DESTDIR)$(sysusersdir)" "$(DESTDIR)$(tmpfilesdir)"
	if test -d converse; then rm -rf "$(DESTDIR)$(pkgdatadir)/converse" && $(MKDIR_P) "$(DESTDIR)$(pkgdatadir)" && \
		cp -R converse "$(DESTDIR)$(pkgdatadir)/"; fi
	$(INSTALL_DATA) contrib/systemd/sterna.sysusers "$(DESTDIR)$(sysusersdir)/sterna.conf"
	$(INSTALL_DATA) contrib/systemd/sterna.tmpfiles "$(DESTDIR)$(tmpfilesdir)/sterna.conf"
	test -e "$(DESTDIR)$(sysconfdir)/sterna/sterna.yaml" || \
		$(INSTALL) -m 640 contrib/sterna.yaml "$(DESTDIR)$(sysconfdir)/sterna/sterna.yaml"
uninstall-hook:
	for m in $(module_LTLIBRARIES); do m=$${m##*/}; rm -f "$(DESTDIR)$(moduledir)/$${m%.la}.so"; done
	rm -f "$(DESTDIR)$(sysusersdir)/sterna.conf" "$(DESTDIR)$(tmpfilesdir)/sterna.conf"
	rm -rf "$(DESTDIR)$(pkgdatadir)/converse"
	if cmp -s contrib/sterna.yaml "$(DESTDIR)$(sysconfdir)/sterna/sterna.yaml"; then \
		rm -f "$(DESTDIR)$(sysconfdir)/sterna/sterna.yaml"; fi

# The web client, from npm; installed with the rest where it was brought. Nothing else needs it.
web-client:
	$(srcdir)/contrib/web-client converse
distclean-local:
	rm -rf converse
.PHONY: web-client

# The reference of all options, from the tables that check them: make options-manual. A test compares.
OPTIONS_MANUAL = $(srcdir)/docs/options.md
options-manual: server/sternactl $(module_LTLIBRARIES)
	printf 'hosts: { localhost: {} }\nlisten: []\nstorage: {}\nserver: { module_dir: "%s/xep/.libs:%s/modules/.libs" }\n' \
		'$(abs_builddir)' '$(abs_builddir)' > options-manual.yaml
	{ printf '# Options\n\nMade by `make options-manual` from the tables in the source; how values are written stands in\n'; \
		printf '`server/option.h`, an example is `contrib/sterna.yaml.in`.\n\n'; \
		server/sternactl -c options-manual.yaml manual --modules | sed -e 's|$(pkgdatadir)|DATADIR/sterna|' -e 's|$(moduledir)|LIBDIR/sterna|'; \
	} > $(OPTIONS_MANUAL).new && mv $(OPTIONS_MANUAL).new $(OPTIONS_MANUAL)
	rm -f options-manual.yaml
.PHONY: options-manual

EXTRA_DIST += \
	ARCHITECTURE.md \
	CHANGELOG.md \
	CONTRIBUTING.md \
	README.md \
	SECURITY.md \
	contrib/example-module/Makefile \
	contrib/example-module/motd.c \
	contrib/make-doap \
	contrib/sterna.yaml.in \
	contrib/systemd/sterna.service.in \
	contrib/systemd/sterna.sysusers.in \
	contrib/systemd/sterna.tmpfiles.in \
	contrib/web-client \
	docs \
	sterna.doap

# Manual pages, and what the shell offers.
dist_man_MANS = docs/man/sternactl.1 docs/man/sternad.8 docs/man/sterna.yaml.5
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = contrib/completion/sternactl.bash
