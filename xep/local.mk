# One loadable module per XEP: the loader finds xep*_NAME.so in the modules' folder.

module_LTLIBRARIES += xep/xep0012_last.la
xep_xep0012_last_la_SOURCES = xep/xep0012_last.c
xep_xep0012_last_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0012_last_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0030_disco.la
xep_xep0030_disco_la_SOURCES = \
	xep/xep0030_disco.c \
	xep/disco_info.c \
	xep/disco_info.h \
	xep/text.h
xep_xep0030_disco_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0030_disco_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0030_disco_la_LIBADD = $(OPENSSL_LIBS)

module_LTLIBRARIES += xep/xep0045_muc.la
xep_xep0045_muc_la_SOURCES = \
	xep/xep0045_muc.c \
	xep/mam.h \
	xep/muc.h \
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
	xep/text.h
xep_xep0045_muc_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0045_muc_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0045_muc_la_LIBADD = $(JANSSON_LIBS) $(OPENSSL_LIBS)

module_LTLIBRARIES += xep/xep0049_private.la
xep_xep0049_private_la_SOURCES = xep/xep0049_private.c
xep_xep0049_private_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0049_private_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0050_commands.la
xep_xep0050_commands_la_SOURCES = xep/xep0050_commands.c xep/disco_info.h xep/text.h
xep_xep0050_commands_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0050_commands_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0050_commands_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += xep/xep0054_vcard.la
xep_xep0054_vcard_la_SOURCES = \
	xep/xep0054_vcard.c \
	xep/pep.h \
	xep/xep0398_avatar.c \
	xep/xep0398_avatar.h
xep_xep0054_vcard_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0054_vcard_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0054_vcard_la_LIBADD = $(OPENSSL_LIBS)

# The engine of PubSub, on accounts and on a service.
PUBSUB_ENGINE = \
	xep/pubsub.h \
	xep/pubsub_affiliate.c \
	xep/pubsub_approve.c \
	xep/pubsub_circle.c \
	xep/pubsub_config.c \
	xep/pubsub_disco.c \
	xep/pubsub_items.c \
	xep/pubsub_node.c \
	xep/pubsub_owner.c \
	xep/pubsub_publish.c \
	xep/pubsub_subscribe.c \
	xep/text.h

module_LTLIBRARIES += xep/xep0060_pubsub.la
xep_xep0060_pubsub_la_SOURCES = xep/xep0060_pubsub.c $(PUBSUB_ENGINE)
xep_xep0060_pubsub_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0060_pubsub_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0060_pubsub_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += xep/xep0065_bytestreams.la
xep_xep0065_bytestreams_la_SOURCES = xep/xep0065_bytestreams.c
xep_xep0065_bytestreams_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0065_bytestreams_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0065_bytestreams_la_LIBADD = $(OPENSSL_LIBS)

module_LTLIBRARIES += xep/xep0092_version.la
xep_xep0092_version_la_SOURCES = xep/xep0092_version.c
xep_xep0092_version_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0092_version_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0115_caps.la
xep_xep0115_caps_la_SOURCES = \
	xep/xep0115_caps.c \
	xep/caps.h \
	xep/caps_cache.c \
	xep/caps_cache.h \
	xep/disco_info.c \
	xep/disco_info.h \
	xep/text.h
xep_xep0115_caps_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0115_caps_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0115_caps_la_LIBADD = $(OPENSSL_LIBS)

module_LTLIBRARIES += xep/xep0156_host_meta.la
xep_xep0156_host_meta_la_SOURCES = xep/xep0156_host_meta.c
xep_xep0156_host_meta_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0156_host_meta_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0157_contact.la
xep_xep0157_contact_la_SOURCES = xep/xep0157_contact.c
xep_xep0157_contact_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0157_contact_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0160_offline.la
xep_xep0160_offline_la_SOURCES = xep/xep0160_offline.c
xep_xep0160_offline_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0160_offline_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0163_pep.la
xep_xep0163_pep_la_SOURCES = \
	xep/xep0163_pep.c \
	xep/pep.h \
	xep/xep0163_pep.h \
	xep/xep0163_notify.c \
	xep/xep0163_peers.c \
	xep/caps.h \
	xep/jid_list.c \
	xep/jid_list.h \
	$(PUBSUB_ENGINE)
xep_xep0163_pep_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0163_pep_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0163_pep_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += xep/xep0191_blocking.la
xep_xep0191_blocking_la_SOURCES = \
	xep/xep0191_blocking.c \
	xep/jid_list.c \
	xep/jid_list.h \
	xep/xep0377_reports.c \
	xep/xep0377_reports.h
xep_xep0191_blocking_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0191_blocking_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0191_blocking_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += xep/xep0199_ping.la
xep_xep0199_ping_la_SOURCES = xep/xep0199_ping.c
xep_xep0199_ping_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0199_ping_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0202_time.la
xep_xep0202_time_la_SOURCES = xep/xep0202_time.c
xep_xep0202_time_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0202_time_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0215_external.la
xep_xep0215_external_la_SOURCES = xep/xep0215_external.c
xep_xep0215_external_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0215_external_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0215_external_la_LIBADD = $(OPENSSL_LIBS)

module_LTLIBRARIES += xep/xep0280_carbons.la
xep_xep0280_carbons_la_SOURCES = xep/xep0280_carbons.c
xep_xep0280_carbons_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0280_carbons_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0313_mam.la
xep_xep0313_mam_la_SOURCES = \
	xep/xep0313_mam.c \
	xep/mam.h \
	xep/xep0313_mam.h \
	xep/xep0313_parse.c \
	xep/xep0313_query.c \
	xep/xep0313_query.h \
	xep/xep0441_prefs.c \
	xep/jid_list.c \
	xep/jid_list.h \
	xep/text.h
xep_xep0313_mam_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0313_mam_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0313_mam_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += xep/xep0334_hints.la
xep_xep0334_hints_la_SOURCES = xep/xep0334_hints.c
xep_xep0334_hints_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0334_hints_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0352_csi.la
xep_xep0352_csi_la_SOURCES = xep/xep0352_csi.c
xep_xep0352_csi_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0352_csi_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0357_push.la
xep_xep0357_push_la_SOURCES = \
	xep/text.h \
	xep/xep0357_notify.c \
	xep/xep0357_push.c \
	xep/xep0357_push.h \
	xep/xep0357_retry.c \
	xep/xep0357_settings.c
xep_xep0357_push_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0357_push_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0359_stanza_id.la
xep_xep0359_stanza_id_la_SOURCES = xep/xep0359_stanza_id.c
xep_xep0359_stanza_id_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0359_stanza_id_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0402_bookmarks.la
xep_xep0402_bookmarks_la_SOURCES = xep/xep0402_bookmarks.c xep/pep.h xep/text.h
xep_xep0402_bookmarks_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0402_bookmarks_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0424_retract.la
xep_xep0424_retract_la_SOURCES = xep/xep0424_retract.c
xep_xep0424_retract_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0424_retract_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0490_mds.la
xep_xep0490_mds_la_SOURCES = xep/xep0490_mds.c xep/pep.h
xep_xep0490_mds_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0490_mds_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += xep/xep0363_upload.la
xep_xep0363_upload_la_SOURCES = xep/xep0363_quota.c xep/xep0363_quota.h xep/xep0363_store.c xep/xep0363_store.h \
	xep/xep0363_upload.c
xep_xep0363_upload_la_CFLAGS = $(MODULE_CFLAGS)
xep_xep0363_upload_la_LDFLAGS = $(MODULE_LDFLAGS)
xep_xep0363_upload_la_LIBADD = $(JANSSON_LIBS)
