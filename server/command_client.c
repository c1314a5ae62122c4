/* command_client.c - what has access to an account (XEP-0494): its sessions, and the tokens with which clients come back
 * (XEP-0484); and taking that access away. */
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/datetime.h"
#include "server/request.h"
#include "server/session.h"
#include "server/stream.h"
#include "server/user_impl.h"

static const struct db_stmt tokens = {
	.name = "client_tokens", .params = "ti", .columns = "tii",
	.sql = "SELECT client_id, min(created), max(expires) FROM fast_token WHERE owner = $1 AND expires > $2 "
	       "GROUP BY client_id ORDER BY client_id LIMIT 1000",
};
static const struct db_stmt token_drop = {
	.name = "client_token_drop", .params = "tt", .sql = "DELETE FROM fast_token WHERE owner = $1 AND client_id = $2",
};
static const struct db_stmt token_there = {
	.name = "client_token_there", .params = "tt", .columns = "i",
	.sql = "SELECT count(*) FROM fast_token WHERE owner = $1 AND client_id = $2",
};

/* The client's own id, where it has told one (XEP-0388), else the resource. */
static const char *id_of(const struct sterna_session *s)
{
	return s->stream != NULL && s->stream->agent_id != NULL ? s->stream->agent_id : jid_resource(s->jid);
}

static struct account *account_of(struct worker *w, const struct request *r)
{
	const struct jid *j = r->data;

	return account_find(w, jid_bare(j));
}

/* --- list --- */

static json_t *list_part(struct worker *w, struct request_part *p)
{
	const struct account *a = account_of(w, request_of(p));
	char since[STERNA_STAMP_LEN];
	json_t *all = json_array();

	for (const struct sterna_session *s = a != NULL ? a->sessions : NULL; s != NULL; s = s->next)
		json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:s, s:s, s:s?, s:s?, s:n, s:s?}", "id", id_of(s), "type",
			"session", "connected", s->stream != NULL, "resource", jid_resource(s->jid), "first_seen",
			sterna_stamp_us(s->bound_us, since), "client", s->client, "mechanism", s->stream != NULL
			? s->stream->authenticated_by : NULL, "token_expires", "address", s->stream != NULL ? s->stream->transport->peer
			: NULL));
	return all;
}

static void on_tokens(void *arg, const struct db_rows *rows)
{
	json_t *all = arg, *row;
	char created[STERNA_STAMP_LEN], expires[STERNA_STAMP_LEN];
	size_t k;

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		const char *id = db_str(rows, i, 0, NULL);
		bool known = false;

		sterna_stamp_us(db_int(rows, i, 1), created);
		sterna_stamp_us(db_int(rows, i, 2), expires);
		json_array_foreach(all, k, row)
			if (strcmp(json_string_value(json_object_get(row, "id")), id) == 0) {
				json_object_set_new(row, "token_expires", json_string(expires));
				known = true;
			}
		if (!known)
			json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:n, s:s, s:n, s:n, s:s, s:n}", "id", id, "type", "access",
				"connected", 0, "resource", "first_seen", created, "client", "mechanism", "token_expires", expires, "address"));
	}
}

static void run_list(struct request *r, struct users *u)
{
	const char *jid = request_arg(r, "accountjid");
	bool found = false;
	enum sterna_result rc = user_exists(u, jid, &found);

	rc = rc == STERNA_OK && !found ? STERNA_ENOTFOUND : rc;
	if (request_stored(r, rc, "accountjid", jid))
		(void)request_stored(r, users_read(u, &tokens, (const struct db_value[]){ db_text(jid), DB_INT(r->asked_us) },
			on_tokens, r->found), NULL, jid);
}

/* What the request's data is for the workers goes with their part. */
static void forget_jid(struct request *r)
{
	struct jid *j = request_take_jid(r);

	jid_unref(&j);
}

static void listed(struct request *r)
{
	forget_jid(r);
	r->found = request_joined(r);
	request_on_storage(r, run_list, NULL);
}

static bool is_bare(struct request *r)
{
	const char *text = request_arg(r, "accountjid");

	if (strchr(text, '/') == NULL)
		return true;
	request_refuse(r, "usage", "accountjid", "'%s': an account's address is name@domain, without a resource", text);
	return false;
}

static void client_list(struct request *r)
{
	struct worker *w = is_bare(r) ? request_owner(r, "accountjid") : NULL;

	if (w != NULL)
		request_gather(r, w, list_part, listed);
}

/* --- revoke --- */

/* Tokens first, so that nobody comes back by one while the sessions end. */
static json_t *end_part(struct worker *w, struct request_part *p)
{
	const char *id = request_arg(request_of(p), "id");
	struct account *a = account_of(w, request_of(p));
	json_int_t count = 0, by_password = 0;
	bool again = a != NULL;

	if (a != NULL)
		account_hold(a);
	while (again) {
		again = false;
		for (struct sterna_session *s = a->sessions; !again && s != NULL; s = s->next)
			if (strcmp(id_of(s), id) == 0 || strcmp(jid_resource(s->jid), id) == 0) {
				const char *by = s->stream != NULL ? s->stream->authenticated_by : NULL;

				by_password += by == NULL || strncmp(by, "HT-", 3) != 0;
				session_kick(s, "not-authorized", "an administrator has taken this client's access away");
				count++;
				again = true;
			}
	}
	if (a != NULL)
		account_release(a);
	return json_pack("{s:I, s:I}", "ended", count, "by_password", by_password);
}

static void sessions_ended(struct request *r)
{
	const json_t *part = r->parts[0];
	const bool token = json_is_true(json_object_get(r->found, "token"));
	const json_int_t count = json_integer_value(json_object_get(part, "ended"));

	json_object_set_new(r->found, "ended", json_integer(count));
	json_object_set_new(r->found, "password_reset_required", json_boolean(json_integer_value(json_object_get(part,
		"by_password")) > 0));
	if (!token && count == 0)
		request_note(r, "not-found", "id", "there is no client '%s'", request_arg(r, "id"));
	forget_jid(r);
	request_end(r);
}

static void on_there(void *arg, const struct db_rows *rows)
{
	*(bool *)arg = db_rows_count(rows) > 0 && db_int(rows, 0, 0) > 0;
}

static void run_revoke(struct request *r, struct users *u)
{
	const char *jid = request_arg(r, "accountjid");
	const struct db_value which[] = { db_text(jid), db_text(request_arg(r, "id")) };
	struct db_batch *b = users_batch(u);
	bool found = false, token = false;
	enum sterna_result rc = user_exists(u, jid, &found);

	db_batch_add(b, &token_drop, which);
	rc = rc == STERNA_OK && !found ? STERNA_ENOTFOUND : rc;
	if (rc == STERNA_OK)
		rc = users_read(u, &token_there, which, on_there, &token);
	if (!request_stored(r, rc, "accountjid", jid))
		db_batch_drop(&b);
	else
		(void)request_stored(r, users_commit(u, &b), NULL, jid);
	r->found = json_pack("{s:b}", "token", (int)token);
}

static void tokens_dropped(struct request *r)
{
	struct worker *w = request_owner(r, "accountjid");

	if (w != NULL)
		request_gather(r, w, end_part, sessions_ended);
}

static void client_revoke(struct request *r)
{
	if (is_bare(r))
		request_on_storage(r, run_revoke, tokens_dropped);
}

static const struct sterna_field list_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL }, { 0 } };
static const struct sterna_field revoke_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL },
	{ "id", STERNA_FIELD_TEXT, true, "Which client, as 'client list' shows it", NULL }, { 0 } };

const struct command client_commands[] = {
	{ .c = { .name = "client list", .roles = STERNA_ADMIN | STERNA_SUPPORT, .flags = STERNA_COMMAND_READ,
		.fields = list_fields, .args = "JID", .summary = "what has access to an account: sessions, and tokens for quick logins" },
	  .fn = client_list },
	{ .c = { .name = "client revoke", .roles = STERNA_ADMIN | STERNA_SUPPORT, .fields = revoke_fields, .args = "JID ID",
		.summary = "end a client's sessions and tokens" }, .fn = client_revoke },
	{ .fn = NULL }
};
