# Migrations, run by db_migrate() at start-up and by sternactl.
sqldir = $(pkgdatadir)/sql
dist_sql_DATA = \
	sql/0001_core.pg.sql \
	sql/0001_core.sqlite.sql \
	sql/0002_pubsub.pg.sql \
	sql/0002_pubsub.sqlite.sql \
	sql/0003_archive_hidden.pg.sql \
	sql/0003_archive_hidden.sqlite.sql \
	sql/0004_push.pg.sql \
	sql/0004_push.sqlite.sql \
	sql/0005_pubsub_options.pg.sql \
	sql/0005_pubsub_options.sqlite.sql \
	sql/0006_abuse_report.pg.sql \
	sql/0006_abuse_report.sqlite.sql \
	sql/0007_e2e_hint.pg.sql \
	sql/0007_e2e_hint.sqlite.sql \
	sql/0008_s2s_queue.pg.sql \
	sql/0008_s2s_queue.sqlite.sql \
	sql/0009_muc.pg.sql \
	sql/0009_muc.sqlite.sql \
	sql/0010_admin.pg.sql \
	sql/0010_admin.sqlite.sql \
	sql/0011_audit.pg.sql \
	sql/0011_audit.sqlite.sql \
	sql/0012_upload.pg.sql \
	sql/0012_upload.sqlite.sql \
	sql/0013_invite.sql \
	sql/0014_api_token.pg.sql \
	sql/0014_api_token.sqlite.sql \
	sql/0015_isolation.pg.sql \
	sql/0015_isolation.sqlite.sql \
	sql/0016_admin_pending.pg.sql \
	sql/0016_admin_pending.sqlite.sql \
	sql/0017_audit_index.pg.sql \
	sql/0017_audit_index.sqlite.sql \
	sql/0018_upload_quota.pg.sql \
	sql/0018_upload_quota.sqlite.sql \
	sql/0019_farewell.pg.sql \
	sql/0019_farewell.sqlite.sql \
	sql/0020_upload_created.sql \
	sql/0021_archive_purge.pg.sql \
	sql/0021_archive_purge.sqlite.sql \
	sql/0022_rtbl.sql
