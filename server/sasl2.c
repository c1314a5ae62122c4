/* sasl2.c - XEP-0388 on the wire: a request is remembered, proven by auth.c or a token, and then done: tasks, a new
 * token, resumption, binding; one <success/> tells of all. */
#include "server/sasl2.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/archive.h"
#include "server/auth.h"
#include "server/base64.h"
#include "server/bind2.h"
#include "server/c2s.h"
#include "server/datetime.h"
#include "server/net.h"
#include "server/registry.h"
#include "server/session.h"
#include "server/sm.h"
#include "server/token.h"
#include "server/upgrade.h"
#include "server/user_impl.h"

#define NS_MAM "urn:xmpp:mam:2"

enum { AGENT_TEXT_MAX = 256 };

/* What was asked for. Answers of the database find the stream through it. */
struct sasl2 {
	unsigned refs;
	struct stream *stream;           /* NULL: gone */
	struct arena *arena;             /* of the request; the answer is made in it too */
	struct sterna_elem *request;     /* <authenticate/> */
	struct account *account;         /* proven; held */
	struct sterna_elem *success;     /* being made */
	char *additional;                /* of the mechanism, in base64; until it is sent */
	char *username;                  /* of a token's login, until it is proven */
	enum fast_mech mech;             /* of that login */
	enum fast_mech token_mech;       /* of the new token */
	bool wants_token;
	unsigned upgrades;               /* still to be done: 1u << enum scram_hash */
	bool in_task, has_extent;
	int64_t archive_first, archive_last; /* ids, 0: it is empty; if has_extent */
	struct upgrade upgrade;
	struct credential upgraded;
};

static const struct auth_profile sasl2;
static void next_task(struct sasl2 *r);

static void unref(struct sasl2 *r)
{
	if (--r->refs > 0)
		return;
	if (r->account != NULL)
		account_release(r->account);
	arena_free(&r->arena);
	free(r->additional);
	free(r->username);
	credential_clear(&r->upgraded);
	free(r);
}

void sasl2_free(struct stream *s)
{
	struct sasl2 *r = s->sasl2;

	s->sasl2 = NULL;
	if (r == NULL)
		return;
	r->stream = NULL;
	unref(r);
}

static struct sasl2 *hold(struct sasl2 *r)
{
	r->refs++;
	return r;
}

/* --- what is offered --- */

static unsigned tokens_offered(struct stream *s)
{
	return s->host->config->anonymous ? 0 : fast_offer(auth_bindings(s));
}

void sasl2_features(struct stream *s, struct arena *a, struct sterna_elem *features)
{
	const unsigned offer = auth_offer(s), tokens = tokens_offered(s);

	if (offer == 0)
		return;
	struct sterna_elem *list = elem_add(a, features, "authentication", NS_SASL2), *inline_;

	for (int m = 0; m < SASL_MECH_COUNT; m++)
		if ((offer & 1u << m) != 0)
			elem_add_text_elem(a, list, "mechanism", sasl_mech_name((enum sasl_mech)m));
	inline_ = elem_add(a, list, "inline", NS_SASL2);
	bind2_features(s, a, inline_);
	elem_add(a, inline_, "sm", NS_SM);
	if (tokens != 0) {
		struct sterna_elem *fast = elem_add(a, inline_, "fast", NS_FAST);

		for (int m = 0; m < FAST_MECH_COUNT; m++)
			if ((tokens & 1u << m) != 0)
				elem_add_text_elem(a, fast, "mechanism", fast_mech_name((enum fast_mech)m));
	}
	if (!s->host->config->anonymous)
		upgrade_features(a, list);
}

/* --- small answers --- */

static char *encoded(const char *data, size_t len)
{
	const size_t size = BASE64_TEXT_LEN(len) + 1;
	char *text = xalloc(size);

	if (base64_encode(data, len, text, size) != STERNA_OK)
		*text = '\0';
	return text;
}

static void challenge(struct stream *s, const char *data, size_t len)
{
	struct arena *a = arena_new(512 + len * 2);
	struct sterna_elem *e = elem_new(a, "challenge", NS_SASL2);
	char *text = encoded(data, len);

	elem_add_text(a, e, text, strlen(text));
	stream_send_elem(s, e);
	free(text);
	arena_free(&a);
}

static void failure(struct stream *s, const char *condition)
{
	auth_send_failure(s, NS_SASL2, condition);
	sasl2_free(s);
}

/* A task has failed: nobody is authenticated (§2.6), the stream is as it was before. */
static void give_up(struct stream *s, const char *condition, const char *reason)
{
	jid_unref(&s->jid);
	stream_enter(s, STREAM_SECURE);
	stream_release(s, HOLD_SETUP);
	auth_failed(s, &sasl2, condition, reason);
}

/* --- success --- */

static struct sterna_elem *begin_success(struct sasl2 *r)
{
	struct sterna_elem *e = elem_new(r->arena, "success", NS_SASL2);

	if (r->additional != NULL)
		elem_add_text_elem(r->arena, e, "additional-data", r->additional);
	elem_add_text_elem(r->arena, e, "authorization-identifier", jid_full(r->stream->jid));
	return e;
}

static void set_identifier(struct sasl2 *r, const struct jid *j)
{
	struct sterna_elem *e = elem_child(r->success, "authorization-identifier", NS_SASL2);

	elem_remove(e->first);
	elem_add_text(r->arena, e, jid_full(j), strlen(jid_full(j)));
}

/* All is done. resumed: the old stream goes on, so that no features follow (XEP-0198 §8.2). */
static void finish(struct sasl2 *r, bool resumed)
{
	struct stream *s = r->stream;

	if (s->session != NULL)
		set_identifier(r, s->session->jid);
	stream_send_elem(s, r->success);
	if (!resumed)
		c2s_features(s);
	sasl2_free(s);
	stream_release(s, HOLD_SETUP);
}

/* What came in while the session was being set up follows. */
static void finish_bound(struct sasl2 *r)
{
	struct sterna_session *session = r->stream->session;

	c2s_bound(r->stream, session);
	finish(r, false);
	if (session->sm != NULL)
		sm_replay(session);
}

static void on_enabled(struct sterna_session *session)
{
	struct sasl2 *r = session->stream->sasl2;

	if (r == NULL)
		return;
	elem_append(elem_child(r->success, "bound", NS_BIND2), sm_enabled_elem(session, r->arena));
	finish_bound(r);
}

static void add_end(struct arena *a, struct sterna_elem *metadata, const char *name, int64_t id)
{
	struct sterna_elem *e = elem_add(a, metadata, name, NS_MAM);
	char text[32], stamp[DATETIME_SIZE];

	snprintf(text, sizeof text, "%" PRId64, id);
	elem_set_attr(a, e, "id", text);
	elem_set_attr(a, e, "timestamp", datetime_format_us(id_time_us(id), stamp));
}

/* The archive as it is when the resource is bound: what has come in since the read is known here. */
static void add_metadata(struct sasl2 *r, struct sterna_elem *bound)
{
	const int64_t newest = r->account->newest_shown;

	if (!r->has_extent || (r->archive_first == 0 && newest != 0))
		return; /* not known, so that the client asks */
	struct sterna_elem *metadata = elem_add(r->arena, bound, "metadata", NS_MAM);

	if (r->archive_first == 0)
		return;
	add_end(r->arena, metadata, "start", r->archive_first);
	add_end(r->arena, metadata, "end", newest > r->archive_last ? newest : r->archive_last);
}

static void bind_now(struct sasl2 *r)
{
	const struct sterna_elem *bind = elem_child(r->request, "bind", NS_BIND2), *enable;
	struct sterna_elem *bound = NULL, *failed;

	if (bind2(r->stream, r->account, r->arena, bind, &bound) != STERNA_OK) {
		stream_error(r->stream, "resource-constraint", "too many sessions");
		return;
	}
	elem_append(r->success, bound);
	add_metadata(r, bound);
	enable = elem_child(bind, "enable", NS_SM);
	if (enable == NULL) {
		finish_bound(r);
		return;
	}
	failed = c2s_enable(r->arena, r->stream->session, enable, on_enabled);
	if (failed != NULL) {
		elem_append(bound, failed);
		finish_bound(r);
	}
}

static void on_extent(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct sasl2 *r = arg;

	if (rc == STERNA_OK && db_rows_count(rows) > 0) {
		r->has_extent = true;
		r->archive_first = db_int(rows, 0, 0);
		r->archive_last = db_int(rows, 0, 1);
	}
	if (r->stream != NULL)
		bind_now(r);
	unref(r);
}

static void bind_or_not(struct sasl2 *r)
{
	struct stream *s = r->stream;

	if (elem_child(r->request, "bind", NS_BIND2) == NULL)
		finish(r, false);
	else if (r->account->anonymous || !bind2_has_archive(s->worker))
		bind_now(r);
	else
		db_read(s->worker->db, &archive_extent, (const struct db_value[]){ db_text(jid_bare(s->jid)) }, on_extent,
			hold(r));
}

static void on_resumed(struct stream *s, struct sterna_session *session, const char *condition, uint32_t h)
{
	struct sasl2 *r = s->sasl2;

	if (r == NULL)
		return;
	if (session == NULL) {
		elem_append(r->success, c2s_sm_failed_elem(r->arena, condition, h != 0, h));
		bind_or_not(r);
		return;
	}
	c2s_bound(s, session);
	elem_append(r->success, c2s_resumed_elem(r->arena, session, h));
	finish(r, true);
	sm_replay(session);
	modules_event(s->worker, STERNA_SESSION_RESUMED, session->account, session, NULL);
}

static void resume_or_not(struct sasl2 *r)
{
	const struct sterna_elem *e = elem_child(r->request, "resume", NS_SM);
	uint32_t h;

	if (e == NULL) {
		bind_or_not(r);
	} else if (elem_attr(e, "previd") == NULL || !c2s_number(elem_attr(e, "h"), &h)) {
		elem_append(r->success, c2s_sm_failed_elem(r->arena, "bad-request", false, 0));
		bind_or_not(r);
	} else {
		sm_resume(r->account, r->stream, elem_attr(e, "previd"), h, on_resumed);
	}
}

static void on_token(void *arg, const struct fast_token *token)
{
	struct sasl2 *r = arg;

	if (r->stream != NULL && token != NULL) {
		struct sterna_elem *e = elem_add(r->arena, r->success, "token", NS_FAST);
		char stamp[DATETIME_SIZE];

		elem_set_attr(r->arena, e, "token", token->token);
		elem_set_attr(r->arena, e, "expiry", datetime_format(token->expires_at_us, stamp));
	}
	if (r->stream != NULL)
		resume_or_not(r);
	unref(r);
}

/* The tasks are done. What takes its time comes first, so that binding and telling of it are one. */
static void authenticated(struct sasl2 *r)
{
	struct stream *s = r->stream;

	stream_enter(s, STREAM_AUTHED);
	stream_limits(s);
	r->success = begin_success(r);
	if (r->wants_token && s->agent_id != NULL && !r->account->anonymous)
		token_issue(s->worker, jid_bare(s->jid), s->agent_id, r->token_mech, on_token, hold(r));
	else
		resume_or_not(r);
}

/* --- tasks --- */

static void on_known_hashes(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct sasl2 *r = arg;

	/* What cannot be found out now is done at another login. */
	if (rc != STERNA_OK || db_rows_count(rows) == 0)
		r->upgrades = 0;
	for (size_t i = 0; rc == STERNA_OK && i < db_rows_count(rows); i++) {
		struct credential c;

		if (credential_from_row(rows, i, &c))
			r->upgrades &= ~(1u << c.hash);
		credential_clear(&c);
	}
	if (r->stream != NULL)
		next_task(r);
	unref(r);
}

static void next_task(struct sasl2 *r)
{
	struct stream *s = r->stream;
	int h = 0;

	if (r->upgrades == 0) {
		authenticated(r);
		return;
	}
	while ((r->upgrades & 1u << h) == 0)
		h++;
	r->upgrade.hash = (enum scram_hash)h;
	r->in_task = false;
	struct sterna_elem *e = elem_new(r->arena, "continue", NS_SASL2);

	if (r->additional != NULL)
		elem_add_text_elem(r->arena, e, "additional-data", r->additional);
	free(r->additional); /* told once */
	r->additional = NULL;
	elem_add_text_elem(r->arena, elem_add(r->arena, e, "tasks", NS_SASL2), "task", credential_upgrade_name(r->upgrade.hash));
	stream_send_elem(s, e);
	stream_release(s, HOLD_SETUP);
}

void sasl2_on_next(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct sasl2 *r = s->sasl2;
	const char *task = elem_attr(e, "task");

	if (r->in_task || task == NULL || strcmp(task, credential_upgrade_name(r->upgrade.hash)) != 0) {
		give_up(s, "malformed-request", "not the task that was asked for");
		return;
	}
	struct sterna_elem *data = elem_new(*a, "task-data", NS_SASL2);

	r->in_task = true;
	r->upgrade.iterations = s->worker->server->config->auth.iterations;
	loop_random(s->worker->loop, r->upgrade.salt, sizeof r->upgrade.salt);
	upgrade_salt(&r->upgrade, *a, data);
	stream_send_elem(s, data);
}

static void on_upgraded(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct sasl2 *r = arg;

	(void)rows;
	if (r->stream != NULL && rc == STERNA_OK) {
		log_info("auth", "keys added", "jid", jid_full(r->stream->jid), "mechanism", scram_hash_name(r->upgrade.hash));
		r->upgrades &= ~(1u << r->upgrade.hash);
		next_task(r);
	} else if (r->stream != NULL) {
		give_up(r->stream, "temporary-auth-failure", "the new keys could not be stored");
	}
	unref(r);
}

void sasl2_on_task_data(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct sasl2 *r = s->sasl2;

	if (!r->in_task || upgrade_finish(&r->upgrade, *a, e, &r->upgraded) != STERNA_OK) {
		give_up(s, "malformed-request", "no data of the task");
		return;
	}
	struct db_batch *b = db_batch_new(s->worker->db);

	user_put_credential(b, jid_bare(s->jid), &r->upgraded);
	credential_clear(&r->upgraded);
	stream_hold(s, HOLD_SETUP);
	db_batch_commit(&b, on_upgraded, hold(r));
}

static void success(struct stream *s, struct account *acc, const char *data, size_t len)
{
	struct sasl2 *r = s->sasl2;

	stream_hold(s, HOLD_SETUP);
	stream_enter(s, STREAM_TASKS);
	r->account = acc;
	account_hold(acc);
	if (data != NULL)
		r->additional = encoded(data, len);
	r->upgrades = acc->anonymous ? 0 : upgrade_asked(r->arena, r->request);
	if (r->upgrades == 0) {
		authenticated(r);
		return;
	}
	db_read(s->worker->db, &credential_select, (const struct db_value[]){ db_text(jid_bare(s->jid)) },
		on_known_hashes, hold(r));
}

static const struct auth_profile sasl2 = { .challenge = challenge, .success = success, .failure = failure };

/* --- a login by token (XEP-0484 §4.4) --- */

static void on_checked(void *arg, const struct token_verdict *v)
{
	static const char *const conditions[] = { [FAST_EXPIRED] = "credentials-expired",
		[FAST_REPLAYED] = "not-authorized", [FAST_DENIED] = "not-authorized" };
	static const char *const reasons[] = { [FAST_EXPIRED] = "the token has expired",
		[FAST_REPLAYED] = "the count of a token was there before", [FAST_DENIED] = "not the token" };
	struct sasl2 *r = arg;
	struct stream *s = r->stream;
	const struct sterna_elem *fast = elem_child(r->request, "fast", NS_FAST);

	if (s == NULL) {
		unref(r);
		return;
	}
	if (v->rc != STERNA_OK) {
		auth_failed(s, &sasl2, "temporary-auth-failure", "the tokens could not be read");
	} else if (v->verdict != FAST_NEW && v->verdict != FAST_CURRENT) {
		if (v->verdict == FAST_DENIED)
			net_login_failed(s, r->username);
		auth_failed(s, &sasl2, conditions[v->verdict], reasons[v->verdict]);
	} else {
		if (v->due && !r->wants_token && !c2s_is_true(elem_attr(fast, "invalidate"))) {
			r->wants_token = true;
			r->token_mech = r->mech;
		}
		auth_proven(s, &sasl2, r->username, fast_mech_name(r->mech), (const char *)v->response, v->response_len);
	}
	unref(r);
}

static void check_token(struct sasl2 *r, const struct sterna_elem *fast, const struct fast_message *message, uint64_t count)
{
	struct stream *s = r->stream;
	const char *type = fast_mech_binding(r->mech);
	unsigned char binding[SASL_BINDING_MAX];
	struct jid *owner = NULL;
	size_t len = 0;

	if (type != NULL && auth_binding(s, type, binding, sizeof binding, &len) != STERNA_OK) {
		auth_failed(s, &sasl2, "temporary-auth-failure", "no channel binding data");
		return;
	}
	if (jid_make(message->username, jid_full(s->host->jid), NULL, &owner) != STERNA_OK) {
		auth_failed(s, &sasl2, "not-authorized", "the name is no JID");
		return;
	}
	if (!net_may_try(s, message->username)) {
		jid_unref(&owner);
		auth_failed(s, &sasl2, "temporary-auth-failure", "too many failed logins to this account");
		return;
	}
	r->username = xstrdup(message->username);
	stream_hold(s, HOLD_WORK);
	const struct token_attempt t = { .owner = jid_full(owner), .client_id = s->agent_id, .message = message,
		.mech = r->mech, .binding = binding, .binding_len = len, .count = count,
		.invalidate = c2s_is_true(elem_attr(fast, "invalidate")) };

	token_check(s->worker, &t, on_checked, hold(r));
	jid_unref(&owner);
}

static void by_token(struct sasl2 *r, const struct sterna_elem *fast, const char *data, size_t len)
{
	struct stream *s = r->stream;
	const char *count = elem_attr(fast, "count");
	struct fast_message message;
	uint32_t n = 0;

	if (net_login_wait_us(s) > 0) {
		auth_failed(s, &sasl2, "temporary-auth-failure", "too many logins from this address");
		return;
	}
	const enum sterna_result rc = data != NULL ? fast_parse(r->mech, data, len, &message) : STERNA_EINVAL;

	if (rc == STERNA_EINVAL || (count != NULL && !c2s_number(count, &n)))
		auth_failed(s, &sasl2, "malformed-request", "no message of the mechanism");
	else if (rc != STERNA_OK || s->agent_id == NULL)
		auth_failed(s, &sasl2, "not-authorized", rc != STERNA_OK ? "no such name" : "a token, and no id of its user agent");
	else
		check_token(r, fast, &message, n);
}

/* --- the request --- */

/* §3.2: all of it may be empty, none of it is data. */
static bool decode(struct arena *a, const struct sterna_elem *e, char **out, size_t *len)
{
	const char *text = elem_text(a, e);
	const size_t n = strlen(text);

	*out = arena_zalloc(a, n + 1);
	*len = 0;
	return n == 0 || base64_decode(text, n, *out, n, len) == STERNA_OK;
}

static char *shortened(struct arena *a, const struct sterna_elem *agent, const char *name)
{
	const char *text = elem_child_text(a, agent, name);
	size_t n = text != NULL ? strlen(text) : 0;

	if (n > AGENT_TEXT_MAX)
		for (n = AGENT_TEXT_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--; /* not within a character */
	return n > 0 ? xstrndup(text, n) : NULL;
}

static void read_agent(struct stream *s, struct arena *a, const struct sterna_elem *agent)
{
	free(s->agent_id);
	free(s->client);
	s->agent_id = s->client = NULL;
	if (agent == NULL)
		return;
	if (token_client_is_valid(elem_attr(agent, "id")))
		s->agent_id = xstrdup(elem_attr(agent, "id"));
	char *software = shortened(a, agent, "software"), *device = shortened(a, agent, "device");

	if (software != NULL || device != NULL) {
		struct buf text = BUF_INIT;

		buf_addf(&text, "%s%s%s", software != NULL ? software : "", software != NULL && device != NULL ? ", " : "",
			device != NULL ? device : "");
		s->client = xstrdup(buf_str(&text));
		buf_release(&text);
	}
	free(software);
	free(device);
}

static struct sasl2 *make(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct sasl2 *r = xalloc(sizeof *r);
	const struct sterna_elem *wish = elem_child(e, "request-token", NS_FAST);

	r->refs = 1;
	r->stream = s;
	r->arena = *a;
	*a = NULL;
	r->request = e;
	s->sasl2 = r;
	r->wants_token = wish != NULL && elem_attr(wish, "mechanism") != NULL
		&& fast_mech_from_name(elem_attr(wish, "mechanism"), &r->token_mech)
		&& (tokens_offered(s) & 1u << r->token_mech) != 0;
	read_agent(s, r->arena, elem_child(e, "user-agent", NS_SASL2));
	return r;
}

void sasl2_on_authenticate(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *mechanism = elem_attr(e, "mechanism");
	const struct sterna_elem *initial = elem_child(e, "initial-response", NS_SASL2), *fast;
	char *data = NULL;
	size_t len = 0;

	if (s->auth != NULL || s->sasl2 != NULL) {
		stream_error(s, "policy-violation", "another exchange is under way"); /* §2.4 */
		return;
	}
	if (initial != NULL && !decode(*a, initial, &data, &len)) {
		auth_failed(s, &sasl2, "incorrect-encoding", "no base64");
		return;
	}
	struct sasl2 *r = make(s, a, e);

	fast = elem_child(e, "fast", NS_FAST);
	if (fast != NULL && mechanism != NULL && fast_mech_from_name(mechanism, &r->mech)
		&& (tokens_offered(s) & 1u << r->mech) != 0)
		by_token(r, fast, data, len);
	else
		auth_begin(s, &sasl2, mechanism != NULL ? mechanism : "", data, len);
}

void sasl2_on_response(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	char *data;
	size_t len;

	if (!auth_is(s, &sasl2)) {
		stream_error(s, "policy-violation", "no exchange of this profile is under way");
	} else if (!decode(*a, e, &data, &len)) {
		auth_free(&s->auth);
		auth_failed(s, &sasl2, "incorrect-encoding", "no base64");
	} else {
		auth_continue(s, data, len);
	}
}

void sasl2_on_abort(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	if (s->state == STREAM_TASKS)
		give_up(s, "aborted", "by the client");
	else if (auth_is(s, &sasl2))
		auth_cancel(s);
	else
		stream_error(s, "policy-violation", "no exchange of this profile is under way");
}
