/* command_api.c - commands about the API: tokens, and its description. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include "server/api_token.h"
#include "server/datetime.h"
#include "server/openapi.h"
#include "server/request.h"
#include "server/user_impl.h"

enum { TOKENS_MAX = 100, SCOPES_MAX = 2000, LABEL_MAX = 200 };
#define DAY_US INT64_C(86400000000)

static const struct db_stmt token_count = {
	.name = "api_token_count", .params = "t", .columns = "i", .sql = "SELECT count(*) FROM api_token WHERE owner = $1",
};
static const struct db_stmt token_insert = {
	.name = "api_token_insert", .params = "tttttiti",
	.sql = "INSERT INTO api_token (id, hash, owner, scopes, label, created, created_by, expires) "
	       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
};
static const struct db_stmt token_purge = {
	.name = "api_token_purge", .params = "i", .sql = "DELETE FROM api_token WHERE expires < $1",
};
static const struct db_stmt token_list = {
	.name = "api_token_list", .params = "t", .columns = "tttttiii",
	.sql = "SELECT id, owner, scopes, label, created_by, created, expires, used FROM api_token "
	       "WHERE $1 = '' OR owner = $1 ORDER BY owner, created LIMIT 10000",
};
static const struct db_stmt token_owner = {
	.name = "api_token_owner", .params = "t", .columns = "t", .sql = "SELECT owner FROM api_token WHERE id = $1",
};
static const struct db_stmt token_drop = {
	.name = "api_token_drop", .params = "t", .sql = "DELETE FROM api_token WHERE id = $1",
};

/* What the helper thread needs of a token that is made: free()d with the request. */
struct making {
	char id[API_TOKEN_ID + 1], token[API_TOKEN_LEN + 1], hash[API_TOKEN_HASH + 1];
	char scopes[SCOPES_MAX];
	int64_t expires_us;
};

/* Others' tokens are for those who own the whole server. */
static bool is_owner(const struct request *r)
{
	return r->is_local || (roles_of(admin_roles(r->admin), r->who, NULL) & STERNA_OWNER) != 0;
}

static bool is_theirs(const struct request *r, const char *jid)
{
	return strcmp(jid, r->who) == 0 || is_owner(r);
}

/* --- create --- */

struct naming {
	const char *scope;
	bool found;
};

static void name_one(void *arg, const struct found_command *f)
{
	struct naming *n = arg;

	n->found |= api_scope_names(n->scope, strlen(n->scope), f->c);
}

static bool take_scopes(struct request *r, struct making *m)
{
	const char *scope;

	for (size_t i = 0; (scope = request_arg_at(r, "scopes", i)) != NULL; i++) {
		struct naming n = { scope, strcmp(scope, "all") == 0 || strcmp(scope, "read") == 0 };

		command_each(r->daemon->server, name_one, &n);
		if (!n.found || strlen(m->scopes) + strlen(scope) + 2 > sizeof m->scopes) {
			request_refuse(r, "usage", "scopes", n.found ? "these are too many scopes" : "'%s': a scope is 'all', 'read', or "
				"how the name of a command begins", scope);
			return false;
		}
		if (m->scopes[0] != '\0')
			strcat(m->scopes, ",");
		strcat(m->scopes, scope);
	}
	return true;
}

/* A token that makes another one does not live on in it. */
static bool take_time(struct request *r, struct making *m)
{
	const struct config *config = r->daemon->config;
	const char *days = request_arg(r, "days");
	const int64_t longest = config->api.token_time.us, asked = days != NULL ? strtoll(days, NULL, 10) : -1;

	if (days != NULL && (asked < 1 || asked > longest / DAY_US)) {
		request_refuse(r, "usage", "days", "between 1 and %lld days (api.token_time)", (long long)(longest / DAY_US));
		return false;
	}
	m->expires_us = r->asked_us + (days != NULL ? asked * DAY_US : longest);
	if (r->token != NULL && m->expires_us > r->token_expires_us)
		m->expires_us = r->token_expires_us;
	return true;
}

static void make_secret(const struct request *r, struct making *m)
{
	unsigned char raw[(API_TOKEN_ID + API_TOKEN_SECRET) / 2];
	char hex[API_TOKEN_ID + API_TOKEN_SECRET + 1];

	loop_random(r->daemon->loop, raw, sizeof raw);
	for (size_t i = 0; i < sizeof raw; i++)
		snprintf(hex + 2 * i, 3, "%02x", raw[i]);
	memcpy(m->id, hex, API_TOKEN_ID);
	snprintf(m->token, sizeof m->token, API_TOKEN_PREFIX "%s_%s", m->id, hex + API_TOKEN_ID);
	api_token_hash(m->token, m->hash);
	OPENSSL_cleanse(raw, sizeof raw);
	OPENSSL_cleanse(hex, sizeof hex);
}

static void on_count(void *arg, const struct db_rows *rows)
{
	*(int64_t *)arg = db_rows_count(rows) > 0 ? db_int(rows, 0, 0) : 0;
}

static void run_create(struct request *r, struct users *u)
{
	struct making *m = r->data;
	const char *jid = request_arg(r, "accountjid"), *label = request_arg(r, "label");
	struct db_batch *b = users_batch(u);
	char stamp[STERNA_STAMP_LEN];
	int64_t count = 0;
	bool found = false;
	enum sterna_result rc = user_exists(u, jid, &found);

	db_batch_add(b, &token_purge, (const struct db_value[]){ DB_INT(r->asked_us) });
	db_batch_add(b, &token_insert, (const struct db_value[]){ db_text(m->id), db_text(m->hash), db_text(jid),
		db_text(m->scopes), db_text(label != NULL ? label : ""), DB_INT(r->asked_us), db_text(r->who), DB_INT(m->expires_us) });
	rc = rc == STERNA_OK && !found ? STERNA_ENOTFOUND : rc;
	if (rc == STERNA_OK)
		rc = users_read(u, &token_count, (const struct db_value[]){ db_text(jid) }, on_count, &count);
	if (rc == STERNA_OK && count >= TOKENS_MAX)
		request_note(r, "conflict", "accountjid", "%s has %d tokens; revoke some", jid, TOKENS_MAX);
	if (!request_stored(r, rc, "accountjid", jid) || r->code[0] != '\0')
		db_batch_drop(&b);
	else if (request_stored(r, users_commit(u, &b), NULL, jid))
		r->found = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", m->id, "accountjid", jid, "scopes", m->scopes, "expires",
			sterna_stamp_us(m->expires_us, stamp), "token", m->token);
	OPENSSL_cleanse(m, sizeof *m);
}

static void token_create_command(struct request *r)
{
	const char *jid = request_arg(r, "accountjid"), *label = request_arg(r, "label");
	struct making *m;

	if (strchr(jid, '/') != NULL || (label != NULL && strlen(label) > LABEL_MAX)) {
		request_refuse(r, "usage", strchr(jid, '/') != NULL ? "accountjid" : "label", strchr(jid, '/') != NULL
			? "'%s': an account's address is name@domain, without a resource" : "'%s' is too long", strchr(jid, '/') != NULL
			? jid : label);
	} else if (!is_theirs(r, jid)) {
		request_refuse(r, "forbidden", "accountjid", "tokens of others are made by owners");
	} else if (!roles_any(admin_roles(r->admin), jid)) {
		request_refuse(r, "conflict", "accountjid", "%s has no role: the token would be good for nothing", jid);
	} else {
		m = xalloc(sizeof *m);
		r->data = m;
		if (!take_scopes(r, m) || !take_time(r, m))
			return;
		make_secret(r, m);
		request_on_storage(r, run_create, NULL);
	}
}

/* --- list, revoke --- */

static const char *stamp_or(int64_t us, char stamp[STERNA_STAMP_LEN])
{
	return us != 0 ? sterna_stamp_us(us, stamp) : "never";
}

static void on_tokens(void *arg, const struct db_rows *rows)
{
	char created[STERNA_STAMP_LEN], expires[STERNA_STAMP_LEN], used[STERNA_STAMP_LEN];

	for (size_t i = 0; i < db_rows_count(rows); i++)
		json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", db_str(rows, i, 0, NULL),
			"accountjid", db_str(rows, i, 1, NULL), "scopes", db_str(rows, i, 2, NULL), "label", db_str(rows, i, 3, NULL),
			"created_by", db_str(rows, i, 4, NULL), "created", stamp_or(db_int(rows, i, 5), created), "expires",
			stamp_or(db_int(rows, i, 6), expires), "used", stamp_or(db_int(rows, i, 7), used)));
}

static void run_list(struct request *r, struct users *u)
{
	const char *jid = request_arg(r, "accountjid");
	json_t *rows = json_array();

	if (request_stored(r, users_read(u, &token_list, (const struct db_value[]){ db_text(jid != NULL ? jid : is_owner(r) ? ""
		: r->who) }, on_tokens, rows), NULL, "tokens"))
		r->found = rows;
	else
		json_decref(rows);
}

static void token_list_command(struct request *r)
{
	const char *jid = request_arg(r, "accountjid");

	if (jid != NULL && !is_theirs(r, jid))
		request_refuse(r, "forbidden", "accountjid", "tokens of others are shown to owners");
	else
		request_on_storage(r, run_list, NULL);
}

static void on_owner(void *arg, const struct db_rows *rows)
{
	char **owner = arg;

	if (db_rows_count(rows) > 0)
		*owner = xstrdup(db_str(rows, 0, 0, NULL));
}

static void run_revoke(struct request *r, struct users *u)
{
	const char *id = request_arg(r, "id");
	struct db_batch *b = users_batch(u);
	char *owner = NULL;

	db_batch_add(b, &token_drop, (const struct db_value[]){ db_text(id) });
	if (request_stored(r, users_read(u, &token_owner, (const struct db_value[]){ db_text(id) }, on_owner, &owner), NULL, id)
		&& (owner == NULL || !is_theirs(r, owner)))
		request_note(r, "not-found", "id", "there is no token '%s' of yours", id);
	free(owner);
	if (r->code[0] == '\0')
		(void)request_stored(r, users_commit(u, &b), NULL, id);
	else
		db_batch_drop(&b);
}

static void token_revoke_command(struct request *r)
{
	request_on_storage(r, run_revoke, NULL);
}

static void openapi_command(struct request *r)
{
	request_answer(r, openapi_make(r->daemon->server));
}

static const struct sterna_field create_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "Whose roles the token has", NULL },
	{ "days", STERNA_FIELD_NUMBER, false, "how long it is good; default: api.token_time", NULL },
	{ "label", STERNA_FIELD_TEXT, false, "what it is for", NULL },
	{ "scopes", STERNA_FIELD_LINES, true, "all, read, or commands (user, user show), one a line", NULL }, { 0 } };
static const struct sterna_field list_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, false, "of this account; default: all that you may see", NULL }, { 0 } };
static const struct sterna_field revoke_fields[] = {
	{ "id", STERNA_FIELD_TEXT, true, "Which token, as 'api token list' shows it", NULL }, { 0 } };
static const struct sterna_field none[] = { { 0 } };

enum { ALL = STERNA_ADMIN | STERNA_OPERATOR | STERNA_AUDITOR | STERNA_SUPPORT };

const struct command api_commands[] = {
	{ .c = { .name = "api token create", .roles = ALL, .args = "JID [DAYS [LABEL]] SCOPE…", .fields = create_fields,
		.summary = "a token for the REST API; it is shown once" }, .fn = token_create_command },
	{ .c = { .name = "api token list", .roles = ALL, .flags = STERNA_COMMAND_READ, .args = "[JID]", .fields = list_fields,
		.summary = "tokens of the REST API" }, .fn = token_list_command },
	{ .c = { .name = "api token revoke", .roles = ALL, .args = "ID", .fields = revoke_fields,
		.summary = "a token is good for nothing any more" }, .fn = token_revoke_command },
	{ .c = { .name = "openapi", .roles = ALL, .flags = STERNA_COMMAND_READ, .fields = none,
		.summary = "the description of the REST API (OpenAPI 3.1)" }, .fn = openapi_command },
	{ .fn = NULL }
};
