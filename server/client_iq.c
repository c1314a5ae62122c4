/* client_iq.c - XEP-0494 0.1.0: the sessions of one's own account, and the tokens with which clients come back (XEP-0484). */
#include "server/client_iq.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/call.h"
#include "server/registry.h"
#include "server/session.h"
#include "server/stream.h"

#define NS_CAM "urn:xmpp:cam:0"

static const struct db_stmt tokens = {
	.name = "own_tokens", .params = "ti", .columns = "tii",
	.sql = "SELECT client_id, min(created), max(expires) FROM fast_token WHERE owner = $1 AND expires > $2 "
	       "GROUP BY client_id ORDER BY client_id LIMIT 1000",
};
static const struct db_stmt token_drop = {
	.name = "own_token_drop", .params = "tt", .sql = "DELETE FROM fast_token WHERE owner = $1 AND client_id = $2",
};

/* As administrators see it. */
static const char *id_of(const struct sterna_session *s)
{
	return s->stream != NULL && s->stream->agent_id != NULL ? s->stream->agent_id : jid_resource(s->jid);
}

static bool is_by_token(const struct sterna_session *s)
{
	return s->stream != NULL && s->stream->authenticated_by != NULL && strncmp(s->stream->authenticated_by, "HT-", 3) == 0;
}

/* A certificate is no password: it is taken away where it was given. Of a session without a stream it is not known. */
static bool is_by_password(const struct sterna_session *s)
{
	return !is_by_token(s) && !(s->stream != NULL && s->stream->authenticated_by != NULL
		&& strcmp(s->stream->authenticated_by, "EXTERNAL") == 0);
}

/* --- list --- */

static struct sterna_elem *add_client(struct sterna_elem *list, const char *id, bool connected, int64_t first_us, int64_t last_us)
{
	struct sterna_elem *e = sterna_add(list, "client", NULL);
	char stamp[STERNA_STAMP_LEN];

	sterna_attr(e, "id", id);
	sterna_attr(e, "type", "session");
	sterna_attr(e, "connected", connected ? "true" : "false");
	sterna_text(e, "first-seen", sterna_stamp_us(first_us, stamp));
	sterna_text(e, "last-seen", sterna_stamp_us(last_us, stamp));
	return e;
}

static int token_row(const struct sterna_rows *rows, const char *id)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strcmp(rows->text[3 * i], id) == 0)
			return (int)i;
	return -1;
}

static void add_session(struct sterna_call *c, struct sterna_elem *list, const struct sterna_session *s,
	const struct sterna_rows *rows)
{
	struct sterna_elem *e = add_client(list, id_of(s), true, s->bound_us, sterna_now_us(c)), *auth = sterna_add(e, "auth", NULL);

	if (is_by_password(s))
		sterna_add(auth, "password", NULL);
	if (is_by_token(s) || token_row(rows, id_of(s)) >= 0)
		sterna_add(auth, "fast", NULL);
	sterna_attr(sterna_add(e, "permission", NULL), "status", "unrestricted");
	if (s->client != NULL)
		sterna_text(sterna_add(e, "user-agent", NULL), "software", s->client);
}

static bool has_session(const struct account *a, const char *id)
{
	for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (strcmp(id_of(s), id) == 0)
			return true;
	return false;
}

static enum sterna_verdict on_tokens(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct sterna_elem *list = sterna_elem(c, "clients", NS_CAM);

	if (rc != STERNA_OK || c->account == NULL)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "it cannot be read now");
	for (const struct sterna_session *s = c->account->sessions; s != NULL; s = s->next)
		add_session(c, list, s, rows);
	for (size_t i = 0; i < rows->count; i++) {
		if (has_session(c->account, rows->text[3 * i]))
			continue;
		struct sterna_elem *e = add_client(list, rows->text[3 * i], false, db_int(rows->db, i, 1), db_int(rows->db, i, 1));

		sterna_add(sterna_add(e, "auth", NULL), "fast", NULL);
		sterna_attr(sterna_add(e, "permission", NULL), "status", "unrestricted");
	}
	return sterna_reply(c, list);
}

static enum sterna_verdict on_list(struct sterna_call *c)
{
	if (!sterna_is_own(c) || c->account == NULL || c->account->anonymous)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	return sterna_read(c, on_tokens, &tokens, sterna_owner(c), sterna_now_us(c));
}

/* --- revoke --- */

struct revocation {
	struct sterna_call *call;
	struct account *account;             /* held */
	char id[];
};

static void end_sessions(struct account *a, const char *id)
{
	bool again = true;

	while (again) {
		again = false;
		for (struct sterna_session *s = a->sessions; !again && s != NULL; s = s->next)
			if (strcmp(id_of(s), id) == 0) {
				session_kick(s, "not-authorized", "this client's access was taken away");
				again = true;
			}
	}
}

/* The tokens are gone: nobody comes back by one while the sessions end. The asker may be one of them. */
static void on_dropped(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct revocation *r = arg;
	struct sterna_call *c = r->call;

	(void)rows;
	if (rc != STERNA_OK) {
		call_resume(c, sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "it could not be done now"));
	} else {
		log_notice("client", "access was taken away by the user", "jid", jid_full(r->account->jid));
		call_resume(c, sterna_reply(c, NULL)); /* leaves before the streams end */
		end_sessions(r->account, r->id);
	}
	account_release(r->account);
	free(r);
}

static enum sterna_verdict on_found(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const char *id = elem_attr(sterna_payload(c), "id");
	struct account *a = c->account;
	struct revocation *r;
	struct db_batch *b;

	if (rc != STERNA_OK || a == NULL)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "it cannot be read now");
	if (!has_session(a, id) && token_row(rows, id) < 0)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such client");
	for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (strcmp(id_of(s), id) == 0 && is_by_password(s)) /* §3.2: it would be back at once */
			return sterna_reject_with(c, STERNA_SERVICE_UNAVAILABLE, "it knows the password: change that",
				"password-reset-required", NS_CAM);
	r = xalloc(sizeof *r + strlen(id) + 1);
	r->call = c;
	r->account = a;
	memcpy(r->id, id, strlen(id) + 1);
	account_hold(a);
	sterna_write(c, &token_drop, sterna_owner(c), id);
	b = c->batch;
	c->batch = NULL;
	db_batch_commit(&b, on_dropped, r);
	return STERNA_WAIT;
}

static enum sterna_verdict on_revoke(struct sterna_call *c)
{
	const char *id = elem_attr(sterna_payload(c), "id");

	if (!sterna_is_own(c) || c->account == NULL || c->account->anonymous)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	if (id == NULL || *id == '\0')
		return sterna_reject(c, STERNA_BAD_REQUEST, "which client?");
	return sterna_read(c, on_found, &tokens, sterna_owner(c), sterna_now_us(c));
}

STERNA_MODULE(clients, .spec = "XEP-0494 0.1.0", .summary = "Client Access Management",
	.features = (const struct sterna_feature[]){ { NS_CAM, STERNA_SERVER }, { NS_CAM, STERNA_OWN_ACCOUNT }, { NULL, 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_CAM, "list", on_list },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_CAM, "revoke", on_revoke },
		{ 0, 0, NULL, NULL, NULL } });
