/* user.c - accounts on the storage, by blocking calls. */
#include "server/user.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include "server/token.h"
#include "server/user_impl.h"

enum { PAGE = 500, WAIT_MS = 60000 };

const struct db_stmt user_insert_stmt = {
	.name = "user_insert", .params = "ti",
	.sql = "INSERT INTO account (jid, created, state) VALUES ($1, $2, 0)",
	.pg_bulk = "INSERT INTO account (jid, created, state) SELECT j, c, 0 FROM unnest($1::text[], $2::bigint[])"
		" AS t(j, c)",
	.commutes = true,
};
const struct db_stmt user_exists_stmt = {
	.name = "user_exists", .params = "t", .columns = "i", .sql = "SELECT state FROM account WHERE jid = $1",
};
static const struct db_stmt insert_credential = {
	.name = "user_insert_credential", .params = "ttbibb",
	.sql = "INSERT INTO credential (jid, mech, salt, iterations, stored_key, server_key) "
	       "VALUES ($1, $2, $3, $4, $5, $6)",
	.pg_bulk = "INSERT INTO credential (jid, mech, salt, iterations, stored_key, server_key) SELECT * FROM "
		   "unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[])",
	.commutes = true,
};
/* Only where the account is: a password set while somebody deletes it leaves no keys behind. */
static const struct db_stmt put_credential = {
	.name = "user_put_credential", .params = "ttbibb",
	.sql = "INSERT INTO credential (jid, mech, salt, iterations, stored_key, server_key) "
	       "SELECT jid, $2, $3, $4, $5, $6 FROM account WHERE jid = $1 "
	       "ON CONFLICT (jid, mech) DO UPDATE SET salt = excluded.salt, iterations = excluded.iterations, "
	       "stored_key = excluded.stored_key, server_key = excluded.server_key",
};
static const struct db_stmt drop_credentials = {
	.name = "user_drop_credentials", .params = "t", .sql = "DELETE FROM credential WHERE jid = $1",
};
static const struct db_stmt set_state = {
	.name = "user_set_state", .params = "tit",
	.sql = "UPDATE account SET state = $2, disabled_reason = $3 WHERE jid = $1",
};
static const struct db_stmt select_one = {
	.name = "user_select", .params = "t", .columns = "tiitit",
	.sql = "SELECT jid, created, state, disabled_reason, last_logout, last_status FROM account WHERE jid = $1",
};
static const struct db_stmt select_page = {
	.name = "user_page", .params = "ti", .columns = "tiitit",
	.sql = "SELECT jid, created, state, disabled_reason, last_logout, last_status FROM account WHERE jid > $1 "
	       "ORDER BY jid LIMIT $2",
};
static const struct db_stmt select_keys = {
	.name = "user_keys", .params = "t", .columns = "ti",
	.sql = "SELECT mech, iterations FROM credential WHERE jid = $1 ORDER BY mech",
};
static const struct db_stmt select_counts = {
	.name = "user_counts", .params = "t", .columns = "iii",
	.sql = "SELECT (SELECT count(*) FROM roster WHERE owner = $1 AND removed = 0), "
	       "(SELECT count(*) FROM archive WHERE owner = $1 AND (flags & 1) <> 0), "
	       "(SELECT count(*) FROM archive WHERE owner = $1 AND (flags & 2) <> 0)",
};

/* Everything that is stored of an account; the account itself last. */
static const struct db_stmt everything[] = {
	{ .name = "user_delete_credential", .params = "t", .sql = "DELETE FROM credential WHERE jid = $1" },
	/* … and its contacts are told: farewell.h. */
	{ .name = "user_farewell", .params = "t",
		.sql = "INSERT INTO farewell (owner, contact, subscription) SELECT owner, contact, subscription "
		       "| CASE WHEN ask <> 0 THEN 1 ELSE 0 END | CASE WHEN pending_in <> 0 THEN 2 ELSE 0 END FROM roster "
		       "WHERE owner = $1 AND removed = 0 AND (subscription <> 0 OR ask <> 0 OR pending_in <> 0) "
		       "ON CONFLICT (owner, contact) DO UPDATE SET subscription = farewell.subscription | excluded.subscription" },
	{ .name = "user_delete_roster", .params = "t", .sql = "DELETE FROM roster WHERE owner = $1" },
	{ .name = "user_delete_archive", .params = "t", .sql = "DELETE FROM archive WHERE owner = $1" },
	{ .name = "user_delete_archive_prefs", .params = "t", .sql = "DELETE FROM archive_prefs WHERE owner = $1" },
	{ .name = "user_delete_sm_session", .params = "t", .sql = "DELETE FROM sm_session WHERE owner = $1" },
	{ .name = "user_delete_private_xml", .params = "t", .sql = "DELETE FROM private_xml WHERE owner = $1" },
	{ .name = "user_delete_vcard", .params = "t", .sql = "DELETE FROM vcard WHERE owner = $1" },
	{ .name = "user_delete_blocklist", .params = "t", .sql = "DELETE FROM blocklist WHERE owner = $1" },
	{ .name = "user_delete_pubsub_item", .params = "t", .sql = "DELETE FROM pubsub_item WHERE owner = $1" },
	{ .name = "user_delete_pubsub_member", .params = "t", .sql = "DELETE FROM pubsub_member WHERE owner = $1" },
	{ .name = "user_delete_pubsub_node", .params = "t", .sql = "DELETE FROM pubsub_node WHERE owner = $1" },
	/* What it was to others' nodes: whoever gets the address next is not that. '0' follows '/'. */
	{ .name = "user_delete_pubsub_membership", .params = "t",
		.sql = "DELETE FROM pubsub_member WHERE jid = $1 OR (jid > $1 || '/' AND jid < $1 || '0')" },
	{ .name = "user_delete_e2e_hint", .params = "t", .sql = "DELETE FROM e2e_hint WHERE owner = $1" },
	{ .name = "user_delete_fast_token", .params = "t", .sql = "DELETE FROM fast_token WHERE owner = $1" },
	{ .name = "user_delete_api_token", .params = "t", .sql = "DELETE FROM api_token WHERE owner = $1" },
	{ .name = "user_delete_upload_quota", .params = "t", .sql = "DELETE FROM upload_quota WHERE owner = $1" },
	{ .name = "user_delete_role", .params = "t", .sql = "DELETE FROM admin_role WHERE jid = $1" },
	{ .name = "user_delete_account", .params = "t", .sql = "DELETE FROM account WHERE jid = $1" },
};

/* --- waiting --- */

static void on_impatient(struct timer *t, void *arg)
{
	struct users *u = arg;

	u->gave_up = true;
	loop_stop(t->loop);
}

enum sterna_result users_new(const struct users_options *o, struct users **out)
{
	struct users *u = xalloc(sizeof *u);
	const enum sterna_result rc = loop_new(&u->loop);

	if (rc != STERNA_OK) {
		free(u);
		return rc;
	}
	u->db = o->db;
	u->config = o->config;
	u->wait_ms = o->wait_ms != 0 ? o->wait_ms : WAIT_MS;
	u->client = db_client_new(u->db, u->loop);
	timer_init(&u->patience, u->loop, on_impatient, u);
	*out = u;
	return STERNA_OK;
}

void users_free(struct users **users)
{
	struct users *u = *users;

	*users = NULL;
	if (u == NULL)
		return;
	timer_cancel(&u->patience);
	db_client_free(&u->client, u->wait_ms);
	loop_free(&u->loop);
	free(u);
}

bool users_wait(struct users *u, const unsigned *pending)
{
	bool ok = true;

	while (*pending > 0) {
		u->gave_up = false;
		timer_set(&u->patience, (uint64_t)u->wait_ms * 1000);
		loop_run(u->loop);
		timer_cancel(&u->patience);
		if (!u->gave_up)
			continue;
		db_client_free(&u->client, 0);
		u->client = db_client_new(u->db, u->loop);
		ok = false;
	}
	return ok;
}

struct asked {
	struct users *u;
	users_rows_fn *fn;
	void *arg;
	enum sterna_result rc;
	unsigned pending;
};

static void on_answer(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct asked *a = arg;

	a->rc = rc;
	a->pending = 0;
	if (rc == STERNA_OK && a->fn != NULL)
		a->fn(a->arg, rows);
	loop_stop(a->u->loop);
}

enum sterna_result users_read(struct users *u, const struct db_stmt *s, const struct db_value *values,
	users_rows_fn *fn, void *arg)
{
	struct asked a = { .u = u, .fn = fn, .arg = arg, .pending = 1 };

	db_read(u->client, s, values, on_answer, &a);
	users_wait(u, &a.pending);
	return a.rc;
}

struct db_batch *users_batch(struct users *u)
{
	return db_batch_new(u->client);
}

enum sterna_result users_commit(struct users *u, struct db_batch **b)
{
	struct asked a = { .u = u, .pending = 1 };

	db_batch_commit(b, on_answer, &a);
	users_wait(u, &a.pending);
	return a.rc;
}

/* --- input --- */

enum sterna_result user_address(const struct users *u, const char *text, struct jid **out, const char **why)
{
	struct jid *j = NULL;
	enum sterna_result rc = jid_parse(text, strlen(text), &j);

	if (rc != STERNA_OK) {
		*why = "no valid address (name@domain)";
		return STERNA_EINVAL;
	}
	if (jid_local(j) == NULL || jid_resource(j) != NULL) {
		*why = "an account's address is name@domain, without a resource";
		rc = STERNA_EINVAL;
	} else if (config_host(u->config, jid_domain(j)) == NULL) {
		*why = "its domain is none of the configured hosts";
		rc = STERNA_ENOTFOUND;
	}
	if (rc == STERNA_OK)
		*out = j;
	else
		jid_unref(&j);
	return rc;
}

enum sterna_result user_password(const char *text, char *out)
{
	const size_t len = strlen(text);

	if (len == 0)
		return STERNA_EINVAL;
	return len > PASSWORD_MAX ? STERNA_ELIMIT : precis_opaque(text, len, out, PASSWORD_MAX + 1);
}

static enum sterna_result derive(struct users *u, const char *password, struct credential_set *out)
{
	uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN];
	char prepared[PASSWORD_MAX + 1];
	enum sterna_result rc = user_password(password, prepared);

	if (rc == STERNA_OK) {
		loop_random(u->loop, salts, sizeof salts);
		rc = credential_set_derive(prepared, strlen(prepared), (const uint8_t (*)[SCRAM_SALT_LEN])salts,
			u->config->auth.iterations, out);
	}
	OPENSSL_cleanse(prepared, sizeof prepared);
	return rc;
}

/* --- one account --- */

static void add_credential(struct db_batch *b, const struct db_stmt *s, const char *jid, const struct credential *c)
{
	const size_t size = scram_hash_size(c->hash);

	db_batch_add(b, s, (const struct db_value[]){ db_text(jid), db_text(scram_hash_name(c->hash)),
		DB_BLOB(c->salt, c->salt_len), DB_INT(c->iterations), DB_BLOB(c->stored_key, size),
		DB_BLOB(c->server_key, size) });
}

void user_put_credential(struct db_batch *b, const char *jid, const struct credential *c)
{
	add_credential(b, &put_credential, jid, c);
}

void user_add_account(struct db_batch *b, const char *jid, int64_t now_us, const struct credential_set *keys)
{
	db_batch_add(b, &user_insert_stmt, (const struct db_value[]){ db_text(jid), DB_INT(now_us) });
	for (int h = 0; h < SCRAM_HASH_COUNT; h++)
		add_credential(b, &insert_credential, jid, &keys->of[h]);
}

void user_add_disabled(struct db_batch *b, const char *jid, const char *reason)
{
	db_batch_add(b, &set_state, (const struct db_value[]){ db_text(jid), DB_INT(1), db_text(reason) });
}

void user_add_password(struct db_batch *b, const char *jid, const struct credential_set *keys)
{
	db_batch_add(b, &drop_credentials, (const struct db_value[]){ db_text(jid) });
	for (int h = 0; h < SCRAM_HASH_COUNT; h++)
		user_put_credential(b, jid, &keys->of[h]);
	token_revoke_all(b, jid);
}

void user_add_removal(struct db_batch *b, const char *jid)
{
	for (size_t i = 0; i < sizeof everything / sizeof *everything; i++)
		db_batch_add(b, &everything[i], (const struct db_value[]){ db_text(jid) });
}

static void on_exists(void *arg, const struct db_rows *rows)
{
	*(bool *)arg = db_rows_count(rows) > 0;
}

enum sterna_result user_exists(struct users *u, const char *jid, bool *out)
{
	return users_read(u, &user_exists_stmt, (const struct db_value[]){ db_text(jid) }, on_exists, out);
}

static enum sterna_result must_exist(struct users *u, const struct jid *j)
{
	bool found = false;
	const enum sterna_result rc = user_exists(u, jid_bare(j), &found);

	return rc == STERNA_OK && !found ? STERNA_ENOTFOUND : rc;
}

enum sterna_result user_create(struct users *u, const struct jid *j, const char *password)
{
	struct credential_set keys;
	enum sterna_result rc = must_exist(u, j); /* before the slow work; the key decides in the end */

	if (rc != STERNA_ENOTFOUND)
		return rc == STERNA_OK ? STERNA_EEXISTS : rc;
	rc = derive(u, password, &keys);
	if (rc == STERNA_OK) {
		struct db_batch *b = users_batch(u);

		user_add_account(b, jid_bare(j), loop_wall_us(u->loop), &keys);
		rc = users_commit(u, &b);
	}
	credential_set_clear(&keys);
	return rc;
}

enum sterna_result user_set_password(struct users *u, const struct jid *j, const char *password)
{
	struct credential_set keys;
	enum sterna_result rc = must_exist(u, j);

	if (rc != STERNA_OK)
		return rc;
	rc = derive(u, password, &keys);
	if (rc == STERNA_OK) {
		struct db_batch *b = users_batch(u);

		user_add_password(b, jid_bare(j), &keys);
		rc = users_commit(u, &b);
	}
	credential_set_clear(&keys);
	return rc;
}

enum sterna_result user_delete(struct users *u, const struct jid *j)
{
	const enum sterna_result found = must_exist(u, j);

	if (found != STERNA_OK && found != STERNA_ENOTFOUND)
		return found;
	struct db_batch *b = users_batch(u);

	user_add_removal(b, jid_bare(j));
	const enum sterna_result rc = users_commit(u, &b);

	return rc == STERNA_OK ? found : rc;
}

static enum sterna_result change_state(struct users *u, const struct jid *j, int state, const char *reason)
{
	const enum sterna_result rc = must_exist(u, j);

	if (rc != STERNA_OK)
		return rc;
	struct db_batch *b = users_batch(u);

	db_batch_add(b, &set_state, (const struct db_value[]){ db_text(jid_bare(j)), DB_INT(state), db_text(reason) });
	return users_commit(u, &b);
}

enum sterna_result user_disable(struct users *u, const struct jid *j, const char *reason)
{
	return change_state(u, j, 1, reason);
}

enum sterna_result user_enable(struct users *u, const struct jid *j)
{
	return change_state(u, j, 0, NULL);
}

/* --- what there is --- */

struct listing {
	user_fn *fn;
	void *arg;
	const char *domain;
	char *last;              /* the address the page ended with */
	size_t count;
};

static void on_infos(void *arg, const struct db_rows *rows)
{
	struct listing *l = arg;

	l->count = db_rows_count(rows);
	for (size_t i = 0; i < l->count; i++) {
		const struct user_info info = { .jid = db_str(rows, i, 0, NULL), .created_us = db_int(rows, i, 1),
			.disabled = db_int(rows, i, 2) != 0, .reason = db_str(rows, i, 3, NULL),
			.last_logout_us = db_int(rows, i, 4), .last_status = db_str(rows, i, 5, NULL) };
		const char *at = strchr(info.jid, '@');

		if (l->domain == NULL || (at != NULL && strcmp(at + 1, l->domain) == 0))
			l->fn(l->arg, &info);
	}
	if (l->count > 0) {
		free(l->last);
		l->last = xstrdup(db_str(rows, l->count - 1, 0, NULL));
	}
}

enum sterna_result user_list(struct users *u, const char *domain, user_fn *fn, void *arg)
{
	struct listing l = { .fn = fn, .arg = arg, .domain = domain, .last = xstrdup(""), .count = PAGE };
	enum sterna_result rc = STERNA_OK;

	while (rc == STERNA_OK && l.count == PAGE) {
		char *after = xstrdup(l.last);

		rc = users_read(u, &select_page, (const struct db_value[]){ db_text(after), DB_INT(PAGE) }, on_infos,
			&l);
		free(after);
	}
	free(l.last);
	return rc;
}

static void on_keys(void *arg, const struct db_rows *rows)
{
	struct user_details *d = arg;
	size_t used = 0;

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		const int64_t iterations = db_int(rows, i, 1);
		const int n = snprintf(d->mechanisms + used, sizeof d->mechanisms - used, "%s%s", used > 0 ? " " : "",
			db_str(rows, i, 0, NULL));

		if (n < 0 || (size_t)n >= sizeof d->mechanisms - used)
			break;
		used += (size_t)n;
		if (d->iterations == 0 || iterations < d->iterations)
			d->iterations = iterations;
	}
}

static void on_counts(void *arg, const struct db_rows *rows)
{
	struct user_details *d = arg;

	d->contacts = db_int(rows, 0, 0);
	d->archived = db_int(rows, 0, 1);
	d->offline = db_int(rows, 0, 2);
}

enum sterna_result user_get(struct users *u, const struct jid *j, struct user_details *details, user_fn *fn, void *arg)
{
	const struct db_value who[] = { db_text(jid_bare(j)) };
	struct listing l = { .fn = fn, .arg = arg };
	enum sterna_result rc = STERNA_OK;

	if (details != NULL) {
		*details = (struct user_details){ 0 };
		rc = users_read(u, &select_keys, who, on_keys, details);
		if (rc == STERNA_OK)
			rc = users_read(u, &select_counts, who, on_counts, details);
	}
	if (rc == STERNA_OK)
		rc = users_read(u, &select_one, who, on_infos, &l);
	free(l.last);
	return rc == STERNA_OK && l.count == 0 ? STERNA_ENOTFOUND : rc;
}
