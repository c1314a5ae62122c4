/* command_invite.c - invitations by command (XEP-0401): a user's, for a friend who becomes a contact; an administrator's,
 * for a colleague who gets an account. */
#include <stdlib.h>
#include <string.h>
#include "server/audit.h"
#include "server/datetime.h"
#include "server/http.h"
#include "server/invite.h"
#include "server/invite_iq.h"
#include "server/jid.h"
#include "server/request.h"
#include "server/user_impl.h"

/* What a run on the helper thread keeps: free()d with the request. */
struct making {
	char token[INVITE_TOKEN_SIZE], hash[INVITE_HASH_SIZE];
	struct invite_options o;     /* its url is the text below, or NULL */
	char url[];                  /* one piece with the rest, since the request frees it */
};

static struct making *making_of(struct request *r)
{
	struct invite_options o;

	invite_options(r->daemon->server, &o);
	struct making *m = xalloc(sizeof *m + (o.url != NULL ? strlen(o.url) : 0) + 1);

	invite_token(r->daemon->loop, m->token, m->hash);
	m->o = o;
	if (o.url != NULL)
		m->o.url = strcpy(m->url, o.url);
	r->data = m;
	return m;
}

/* --- storing one --- */

static void on_count(void *arg, const struct db_rows *rows)
{
	*(int64_t *)arg = db_rows_count(rows) > 0 ? db_int(rows, 0, 0) : 0;
}

static void on_any(void *arg, const struct db_rows *rows)
{
	*(bool *)arg = db_rows_count(rows) > 0;
}

/* Old ones go when a new one is made: the table is as large as what is open. */
static enum sterna_result store(struct request *r, struct users *u, const struct making *m, const char *host,
	const char *inviter, const char *username, bool contact, bool account)
{
	struct db_batch *b = users_batch(u);
	const int64_t now = r->asked_us;

	db_batch_add(b, &invite_purge_uses, (const struct db_value[]){ DB_INT(now) });
	db_batch_add(b, &invite_purge, (const struct db_value[]){ DB_INT(now) });
	db_batch_add(b, &invite_insert, (const struct db_value[]){ db_text(m->hash), db_text(host), db_text(inviter),
		db_text(username), DB_INT(contact), DB_INT(account), DB_INT(now), DB_INT(now + m->o.lifetime_us) });
	return users_commit(u, &b);
}

/* The address as it is said and shown: XEP-0401 §3.1, §4.2. A landing page of somebody else gets all of it behind the '#',
 * which no browser sends anywhere; our own is told the token, to say what it is good for. */
static json_t *result(const struct request *r, struct users *u, const struct making *m, const char *host, struct buf *address)
{
	char stamp[STERNA_STAMP_LEN];
	const char *uri = buf_str(address);
	json_t *all = json_pack("{s:s}", "uri", uri);
	char *base = m->o.url == NULL && m->o.served ? http_base_url(users_config(u), host) : NULL;

	if (m->o.url != NULL)
		json_object_set_new(all, "landing-url", json_sprintf("%s#%s", m->o.url, uri + strlen("xmpp:")));
	else if (base != NULL)
		json_object_set_new(all, "landing-url", json_sprintf("%s" INVITE_PATH "%s", base, m->token));
	free(base);
	json_object_set_new(all, "expire", json_string(sterna_stamp((time_t)((r->asked_us + m->o.lifetime_us) / 1000000), stamp)));
	buf_release(address);
	return all;
}

/* --- for a friend --- */

static void run_contact(struct request *r, struct users *u)
{
	const struct making *m = r->data;
	struct buf uri = BUF_INIT;
	struct jid *who = NULL;
	int64_t open = 0;

	if (!request_stored(r, users_read(u, &invite_count, (const struct db_value[]){ DB_INT(r->asked_us), db_text(r->who) },
		on_count, &open), NULL, r->who))
		return;
	if (open >= (int64_t)m->o.max_open) {
		request_note(r, "unavailable", NULL, "%lld invitations are open already; wait until they are used, or too old",
			(long long)open);
		return;
	}
	if (jid_parse(r->who, strlen(r->who), &who) != STERNA_OK)
		return; /* it was one when it asked */
	invite_address(&uri, jid_local(who), jid_domain(who));
	buf_addf(&uri, "?roster;preauth=%s%s", m->token, m->o.accounts ? ";ibr=y" : "");
	if (request_stored(r, store(r, u, m, r->host, r->who, "", true, m->o.accounts), NULL, r->who))
		r->found = result(r, u, m, r->host, &uri);
	buf_release(&uri);
	jid_unref(&who);
}

/* On the main thread, once it is stored. */
static void made(struct request *r, bool contact, bool account, const char *host, const char *username)
{
	const struct making *m = r->data;
	char id[17], stamp[STERNA_STAMP_LEN];

	snprintf(id, sizeof id, "%.16s", m->hash);
	if (r->code[0] == '\0')
		audit_post(r->daemon->server, host, "sterna.invitation.created.v1", r->is_local ? NULL : r->who,
			(const struct sterna_datum[]){ STERNA_DATUM("invitation", id), STERNA_PERSONAL("username", username),
			STERNA_DATUM("kind", contact && account ? "contact and account" : contact ? "contact" : "account"),
			STERNA_DATUM("expires", sterna_stamp((time_t)((r->asked_us + m->o.lifetime_us) / 1000000), stamp)), { 0 } });
	request_end(r);
}

static void contact_made(struct request *r)
{
	made(r, true, ((const struct making *)r->data)->o.accounts, r->host, NULL);
}

static void invite_contact(struct request *r)
{
	if (r->is_local || r->host == NULL) {
		request_refuse(r, "usage", NULL, "users invite their friends with their client; 'invite create' is for accounts");
		return;
	}
	making_of(r);
	request_on_storage(r, run_contact, contact_made);
}

/* --- for an account --- */

static bool name_is_free(struct request *r, struct users *u, const struct making *m, const char *host, const char *name)
{
	struct jid *j = NULL;
	bool taken = false, kept = false, ok;

	if (jid_make(name, host, NULL, &j) != STERNA_OK) {
		request_note(r, "usage", "username", "'%s' cannot be a name", name);
		return false;
	}
	ok = request_stored(r, user_exists(u, jid_full(j), &taken), "username", jid_full(j))
		&& request_stored(r, users_read(u, &invite_reserved, (const struct db_value[]){ db_text(host),
			db_text(jid_local(j)), db_text(m->hash), DB_INT(r->asked_us) }, on_any, &kept), "username", jid_full(j));
	if (ok && (taken || kept))
		request_note(r, "conflict", "username", taken ? "there is an account %s already" : "%s is kept for another invitation",
			jid_full(j));
	jid_unref(&j);
	return ok && !taken && !kept;
}

static void run_create(struct request *r, struct users *u)
{
	const struct making *m = r->data;
	const char *host = request_arg(r, "host") != NULL ? request_arg(r, "host") : r->host;
	const char *given = request_arg(r, "username"), *both = request_arg(r, "roster-subscription");
	const bool contact = !r->is_local && both != NULL && (strcmp(both, "1") == 0 || strcmp(both, "true") == 0);
	struct buf uri = BUF_INIT;
	struct jid *j = NULL;
	const char *name;

	if (given != NULL && !name_is_free(r, u, m, host, given))
		return;
	if (given != NULL && jid_make(given, host, NULL, &j) != STERNA_OK)
		return;
	name = j != NULL ? jid_local(j) : "";
	invite_address(&uri, name, host);
	buf_addf(&uri, "?register;preauth=%s", m->token);
	if (request_stored(r, store(r, u, m, host, r->is_local ? "" : r->who, name, contact, true), NULL, host))
		r->found = result(r, u, m, host, &uri);
	buf_release(&uri);
	jid_unref(&j);
}

static void account_made(struct request *r)
{
	const char *both = request_arg(r, "roster-subscription");

	made(r, !r->is_local && both != NULL && (strcmp(both, "1") == 0 || strcmp(both, "true") == 0), true,
		request_arg(r, "host") != NULL ? request_arg(r, "host") : r->host, request_arg(r, "username"));
}

static void invite_create(struct request *r)
{
	if (request_arg(r, "host") == NULL && r->host == NULL) {
		request_refuse(r, "usage", "host", "for which host?");
		return;
	}
	making_of(r);
	request_on_storage(r, run_create, account_made);
}

/* --- what is open --- */

static const struct db_stmt all_open = {
	.name = "invite_all", .params = "i", .columns = "ttttii",
	.sql = "SELECT substr(token, 1, 16), host, inviter, username, account, expires FROM invite i WHERE expires > $1"
		" AND NOT EXISTS (SELECT 1 FROM invite_use u WHERE u.token = i.token) ORDER BY created LIMIT 10000",
};

struct listing {
	const char *host;                /* NULL: all */
	json_t *rows;
};

static void on_open(void *arg, const struct db_rows *rows)
{
	struct listing *l = arg;
	char stamp[STERNA_STAMP_LEN];

	for (size_t i = 0; i < db_rows_count(rows); i++)
		if (l->host == NULL || strcmp(l->host, db_str(rows, i, 1, NULL)) == 0)
			json_array_append_new(l->rows, json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "id", db_str(rows, i, 0, NULL), "host",
				db_str(rows, i, 1, NULL), "inviter", db_str(rows, i, 2, NULL), "username", db_str(rows, i, 3, NULL), "account",
				(int)(db_int(rows, i, 4) != 0), "expires", sterna_stamp((time_t)(db_int(rows, i, 5) / 1000000), stamp)));
}

static void run_list(struct request *r, struct users *u)
{
	struct listing l = { request_arg(r, "host") != NULL ? request_arg(r, "host") : r->host, json_array() };

	if (request_stored(r, users_read(u, &all_open, (const struct db_value[]){ DB_INT(r->asked_us) }, on_open, &l), NULL, "invite"))
		r->found = l.rows;
	else
		json_decref(l.rows);
}

static void invite_list(struct request *r)
{
	request_on_storage(r, run_list, NULL);
}

static const struct db_stmt revoke = {
	.name = "invite_revoke", .params = "tt",
	.sql = "DELETE FROM invite WHERE substr(token, 1, 16) = $1 AND ($2 = '' OR host = $2)",
};

static void run_revoke(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);

	db_batch_add(b, &revoke, (const struct db_value[]){ db_text(request_arg(r, "id")), db_text(r->host != NULL ? r->host : "") });
	(void)request_stored(r, users_commit(u, &b), "id", request_arg(r, "id"));
}

static void revoked(struct request *r)
{
	if (r->code[0] == '\0')
		audit_post(r->daemon->server, r->host, "sterna.invitation.revoked.v1", r->is_local ? NULL : r->who,
			(const struct sterna_datum[]){ STERNA_DATUM("invitation", request_arg(r, "id")), { 0 } });
	request_end(r);
}

static void invite_revoke(struct request *r)
{
	request_on_storage(r, run_revoke, revoked);
}

static const struct sterna_field create_fields[] = {
	{ "username", STERNA_FIELD_TEXT, false, "Username", NULL },
	{ "roster-subscription", STERNA_FIELD_BOOL, false, "Roster subscription", NULL },
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: the one asked at", NULL }, { 0 } };
static const struct sterna_field list_fields[] = {
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: all", NULL }, { 0 } };
static const struct sterna_field revoke_fields[] = {
	{ "id", STERNA_FIELD_TEXT, true, "Which invitation, as 'invite list' shows it", NULL }, { 0 } };

const struct command invite_commands[] = {
	{ .c = { .name = "invite contact", .node = "urn:xmpp:invite#invite", .roles = STERNA_USER, .summary = "Invite user" },
	  .fn = invite_contact },
	{ .c = { .name = "invite create", .node = "urn:xmpp:invite#create-account", .roles = STERNA_ADMIN | STERNA_SUPPORT,
		.args = "[USERNAME [ROSTER-SUBSCRIPTION [HOST]]]", .fields = create_fields, .summary = "Create account" },
	  .fn = invite_create },
	{ .c = { .name = "invite list", .roles = STERNA_ADMIN | STERNA_SUPPORT, .flags = STERNA_COMMAND_READ,
		.args = "[HOST]", .fields = list_fields, .summary = "invitations that are open" },
	  .fn = invite_list },
	{ .c = { .name = "invite revoke", .roles = STERNA_ADMIN | STERNA_SUPPORT, .args = "ID", .fields = revoke_fields,
		.summary = "an invitation is good for nothing any more" },
	  .fn = invite_revoke },
	{ .fn = NULL }
};
