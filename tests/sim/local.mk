# The simulation: whole servers in one thread, from a seed. The modules are linked in.
check_LTLIBRARIES = tests/sim/libsim.la
tests_sim_libsim_la_SOURCES = \
	tests/sim/sim.h \
	tests/sim/sim_db.c \
	tests/sim/sim_loop.c \
	tests/sim/sim_server.c \
	tests/sim/sim_transport.c \
	tests/sim/sim_ways.c
tests_sim_libsim_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_SQL_DIR='"$(abs_top_srcdir)/sql"'
tests_sim_libsim_la_LIBADD = server/libsterna.la

check_PROGRAMS += tests/sim/sim
TESTS += tests/sim/sim
tests_sim_sim_SOURCES = \
	tests/sim/sim.c \
	tests/sim/sim_check.c \
	tests/sim/sim_client.c \
	tests/sim/sim_client.h \
	tests/sim/sim_cover.c \
	tests/sim/sim_net.c \
	tests/sim/sim_net.h \
	tests/sim/sim_node.c \
	tests/sim/sim_node.h \
	tests/sim/sim_room.c \
	tests/sim/sim_room.h \
	tests/sim/sim_wait.c \
	$(PUBSUB_ENGINE) \
	xep/caps_cache.c \
	xep/disco_info.c \
	xep/jid_list.c \
	xep/muc_admin.c \
	xep/muc_archive.c \
	xep/muc_command.c \
	xep/muc_config.c \
	xep/muc_disco.c \
	xep/muc_hats.c \
	xep/muc_history.c \
	xep/muc_invite.c \
	xep/muc_iq.c \
	xep/muc_join.c \
	xep/muc_message.c \
	xep/muc_owner.c \
	xep/muc_presence.c \
	xep/muc_register.c \
	xep/muc_room.c \
	xep/muc_search.c \
	xep/muc_store.c \
	xep/muc_vcard.c \
	xep/xep0030_disco.c \
	xep/xep0045_muc.c \
	xep/xep0060_pubsub.c \
	xep/xep0115_caps.c \
	xep/xep0163_notify.c \
	xep/xep0163_peers.c \
	xep/xep0163_pep.c \
	xep/xep0280_carbons.c \
	xep/xep0313_mam.c \
	xep/xep0313_parse.c \
	xep/xep0313_query.c \
	xep/xep0334_hints.c \
	xep/xep0359_stanza_id.c \
	xep/xep0441_prefs.c
tests_sim_sim_LDADD = tests/sim/libsim.la
