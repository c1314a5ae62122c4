/* token.c - the table fast_token. */
#include "server/token.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_CURRENT, SLOT_NEW, NONCE_LEN = 32, CLIENT_ID_LEN = 36 };
enum { TOKENS_MAX = 200 }; /* of an account: a hundred devices */
enum { ROTATE_AFTER = 7 }; /* a new token when this part of the old one's time is over */

static const struct db_stmt token_select = {
	.name = "token_select", .params = "tt", .columns = "itbiii",
	.sql = "SELECT slot, mech, token_hash, created, expires, counter FROM fast_token "
	       "WHERE owner = $1 AND client_id = $2",
};
static const struct db_stmt token_put = {
	.name = "token_put", .params = "ttitbii",
	.sql = "INSERT INTO fast_token (owner, client_id, slot, mech, token_hash, created, expires, counter) "
	       "VALUES ($1, $2, $3, $4, $5, $6, $7, 0) ON CONFLICT (owner, client_id, slot) DO UPDATE SET "
	       "mech = excluded.mech, token_hash = excluded.token_hash, created = excluded.created, "
	       "expires = excluded.expires, counter = 0",
};
/* The statements of a login name the token by its nonce, so that doing them twice is doing them once. */
static const struct db_stmt token_drop_older = {
	.name = "token_drop_older", .params = "ttb",
	.sql = "DELETE FROM fast_token WHERE owner = $1 AND client_id = $2 AND slot = 0 AND token_hash <> $3",
};
static const struct db_stmt token_used = {
	.name = "token_used", .params = "ttbi",
	.sql = "UPDATE fast_token SET slot = 0, counter = $4 WHERE owner = $1 AND client_id = $2 AND token_hash = $3",
};
static const struct db_stmt token_drop = {
	.name = "token_drop", .params = "ttb",
	.sql = "DELETE FROM fast_token WHERE owner = $1 AND client_id = $2 AND token_hash = $3",
};
/* What is over, and what is beyond the newest TOKENS_MAX of an account. */
static const struct db_stmt token_prune = {
	.name = "token_prune", .params = "tii",
	.sql = "DELETE FROM fast_token WHERE owner = $1 AND (expires < $2 OR created < (SELECT created FROM fast_token "
	       "WHERE owner = $1 ORDER BY created DESC LIMIT 1 OFFSET $3))",
};
static const struct db_stmt token_drop_all = {
	.name = "token_drop_all", .params = "t", .sql = "DELETE FROM fast_token WHERE owner = $1",
};

bool token_client_is_valid(const char *id)
{
	if (id == NULL || strlen(id) != CLIENT_ID_LEN)
		return false;
	for (int i = 0; i < CLIENT_ID_LEN; i++) {
		const bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? id[i] != '-' : strchr("0123456789abcdefABCDEF", id[i]) == NULL)
			return false;
	}
	return true;
}

/* HMAC(secret, "token" NUL owner NUL client NUL nonce) */
static void make(const struct server *s, const char *owner, const char *client_id, const uint8_t *nonce,
	enum fast_mech m, int64_t expires_us, struct fast_token *out)
{
	const size_t owner_len = strlen(owner) + 1, client_len = strlen(client_id) + 1;
	const size_t len = 6 + owner_len + client_len + NONCE_LEN;
	char *data = xalloc(len);
	uint8_t random[FAST_RANDOM_LEN];

	memcpy(data, "token", 6);
	memcpy(data + 6, owner, owner_len);
	memcpy(data + 6 + owner_len, client_id, client_len);
	memcpy(data + 6 + owner_len + client_len, nonce, NONCE_LEN);
	scram_hmac(SCRAM_SHA256, s->secret, sizeof s->secret, data, len, random);
	fast_token_init(out, random, m, expires_us);
	OPENSSL_cleanse(random, sizeof random);
	free(data);
}

/* --- a login --- */

struct check {
	struct worker *worker;
	token_check_fn *fn;
	void *arg;
	char *owner, *client_id;
	struct fast_message message;
	struct fast_attempt attempt;
	uint8_t binding[SASL_BINDING_MAX];
	bool invalidate;
	uint8_t response[SCRAM_KEY_MAX];
	struct token_verdict verdict;
};

static void check_end(struct check *k, enum sterna_result rc)
{
	k->verdict.rc = rc;
	k->fn(k->arg, &k->verdict);
	free(k->owner);
	free(k->client_id);
	OPENSSL_cleanse(k, sizeof *k);
	free(k);
}

static void on_noted(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	(void)rows;
	check_end(arg, rc);
}

/* What the success changes. Nothing to change: nothing to wait for. */
static void note(struct check *k, const uint8_t *nonce)
{
	const struct db_value who[] = { db_text(k->owner), db_text(k->client_id), DB_BLOB(nonce, NONCE_LEN),
		DB_INT((int64_t)k->attempt.count) };
	const bool newer = k->verdict.verdict == FAST_NEW;

	if (!newer && k->attempt.count == 0 && !k->invalidate) {
		check_end(k, STERNA_OK);
		return;
	}
	struct db_batch *b = db_batch_new(k->worker->db);

	if (newer)
		db_batch_add(b, &token_drop_older, who);
	db_batch_add(b, k->invalidate ? &token_drop : &token_used, who);
	db_batch_commit(&b, on_noted, k);
}

static bool read_row(struct check *k, const struct db_rows *rows, size_t row, struct fast_token *out)
{
	size_t len = 0;
	const char *mech = db_str(rows, row, 1, NULL), *nonce = db_str(rows, row, 2, &len);
	enum fast_mech m;

	if (mech == NULL || nonce == NULL || len != NONCE_LEN || !fast_mech_from_name(mech, &m))
		return false;
	make(k->worker->server, k->owner, k->client_id, (const uint8_t *)nonce, m, db_int(rows, row, 4), out);
	out->count = (uint64_t)db_int(rows, row, 5);
	return true;
}

static void on_tokens(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct check *k = arg;
	struct fast_token tokens[2];
	bool there[2] = { false, false };
	size_t at[2] = { 0, 0 };

	if (rc != STERNA_OK) {
		check_end(k, rc);
		return;
	}
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		const int64_t slot = db_int(rows, i, 0);

		if (slot != SLOT_CURRENT && slot != SLOT_NEW)
			continue;
		there[slot] = read_row(k, rows, i, &tokens[slot]);
		at[slot] = i;
	}
	k->verdict.verdict = fast_verify(&k->attempt, there[SLOT_NEW] ? &tokens[SLOT_NEW] : NULL,
		there[SLOT_CURRENT] ? &tokens[SLOT_CURRENT] : NULL, k->response, &k->verdict.response_len);
	OPENSSL_cleanse(tokens, sizeof tokens);
	if (k->verdict.verdict != FAST_NEW && k->verdict.verdict != FAST_CURRENT) {
		check_end(k, STERNA_OK);
		return;
	}
	const size_t row = at[k->verdict.verdict == FAST_NEW ? SLOT_NEW : SLOT_CURRENT];
	const int64_t created = db_int(rows, row, 3), expires = db_int(rows, row, 4);
	uint8_t nonce[NONCE_LEN];

	memcpy(nonce, db_str(rows, row, 2, NULL), sizeof nonce);
	k->verdict.response = k->response;
	k->verdict.due = k->attempt.now_us - created > (expires - created) / ROTATE_AFTER;
	note(k, nonce);
}

void token_check(struct worker *w, const struct token_attempt *t, token_check_fn *fn, void *arg)
{
	struct check *k = xalloc(sizeof *k);
	const struct db_value who[] = { db_text(t->owner), db_text(t->client_id) };

	k->worker = w;
	k->fn = fn;
	k->arg = arg;
	k->owner = xstrdup(t->owner);
	k->client_id = xstrdup(t->client_id);
	k->message = *t->message;
	k->invalidate = t->invalidate;
	if (t->binding_len > 0 && t->binding_len <= sizeof k->binding)
		memcpy(k->binding, t->binding, t->binding_len);
	k->attempt = (struct fast_attempt){ .mech = t->mech, .message = &k->message, .binding = k->binding,
		.binding_len = t->binding_len, .now_us = loop_wall_us(w->loop), .count = t->count };
	db_read(w->db, &token_select, who, on_tokens, k);
}

/* --- new tokens --- */

struct issue {
	token_issue_fn *fn;
	void *arg;
	struct fast_token token;
};

static void on_issued(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct issue *i = arg;

	(void)rows;
	if (rc != STERNA_OK)
		log_notice("auth", "a token could not be stored", "result", sterna_result_text(rc));
	i->fn(i->arg, rc == STERNA_OK ? &i->token : NULL);
	fast_token_clear(&i->token);
	free(i);
}

void token_issue(struct worker *w, const char *owner, const char *client_id, enum fast_mech m, token_issue_fn *fn,
	void *arg)
{
	struct issue *i = xalloc(sizeof *i);
	struct db_batch *b = db_batch_new(w->db);
	const int64_t now = loop_wall_us(w->loop), expires = now + w->server->config->auth.token_time.us;
	uint8_t nonce[NONCE_LEN];

	loop_random(w->loop, nonce, sizeof nonce);
	make(w->server, owner, client_id, nonce, m, expires, &i->token);
	i->fn = fn;
	i->arg = arg;
	db_batch_add(b, &token_put, (const struct db_value[]){ db_text(owner), db_text(client_id), DB_INT(SLOT_NEW),
		db_text(fast_mech_name(m)), DB_BLOB(nonce, sizeof nonce), DB_INT(now), DB_INT(expires) });
	db_batch_add(b, &token_prune, (const struct db_value[]){ db_text(owner), DB_INT(now), DB_INT(TOKENS_MAX - 1) });
	db_batch_commit(&b, on_issued, i);
}

void token_revoke_all(struct db_batch *b, const char *owner)
{
	db_batch_add(b, &token_drop_all, (const struct db_value[]){ db_text(owner) });
}
