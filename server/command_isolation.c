/* command_isolation.c - keeping out addresses, other servers and accounts for a time, letting them in again; and sessions
 * that have to log in anew. What an administrator does by hand, and a module's rules by sterna_order(). */
#include <stdlib.h>
#include <string.h>
#include "server/audit.h"
#include "server/command_session.h"
#include "server/datetime.h"
#include "server/isolation.h"
#include "server/ratelimit.h"
#include "server/s2s_impl.h"
#include "server/token.h"
#include "server/user_impl.h"

#define HOUR_US INT64_C(3600000000)
#define MOST_US (INT64_C(3650) * 24 * HOUR_US)

/* What a run on the helper thread, and workers, read: free()d with the request. */
struct isolating {
	enum isolation_kind kind;
	int64_t until_us;
	struct ip ip;
	char target[3072];
};

static bool is_address(enum isolation_kind k)
{
	return k == ISOLATION_ADDRESS || k == ISOLATION_SLOW_ADDRESS;
}

static bool is_slow(enum isolation_kind k)
{
	return k == ISOLATION_SLOW_ADDRESS || k == ISOLATION_SLOW_ACCOUNT;
}

static void note_change(struct request *r, const char *type, enum isolation_kind k, const char *target, int64_t until_us)
{
	char stamp[STERNA_STAMP_LEN];

	log_notice("isolation", until_us != 0 ? "begins" : "is lifted", "kind", isolation_name(k), "target", target, "who", r->who,
		"reason", request_arg(r, "reason"));
	audit_post(r->daemon->server, NULL, type, is_address(k) ? NULL : target, (const struct sterna_datum[]){
		STERNA_DATUM("kind", isolation_name(k)), STERNA_PERSONAL("target", target), STERNA_DATUM("by", r->who),
		STERNA_DATUM("reason", request_arg(r, "reason")), STERNA_DATUM("until", until_us != 0
			? sterna_stamp((time_t)(until_us / 1000000), stamp) : NULL),
		STERNA_DATUM("cause", until_us == 0 ? "command" : NULL), { 0 } });
}

/* --- keeping out --- */

static json_t *end_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	const struct isolating *i = r->data;
	json_int_t ended = 0;

	for (struct stream *s = w->streams, *next; s != NULL; s = next) {
		bool is_it;

		next = s->next;
		if (i->kind == ISOLATION_ADDRESS) {
			const struct ip key = ratelimit_address(&s->ip);

			is_it = s->has_ip && ip_equal(&key, &i->ip);
		} else {
			is_it = s->s2s != NULL && s->s2s->remote != NULL && s->s2s->attempt == NULL
				&& isolation_has_domain(w->server, jid_full(s->s2s->remote));
		}
		if (is_it) {
			stream_error(s, "policy-violation", "not now");
			ended++;
		}
	}
	return json_pack("{s:I}", "ended", ended);
}

static void ended(struct request *r)
{
	json_t *all = request_joined(r);

	json_object_set(r->found, "ended", json_object_get(all, "ended"));
	json_decref(all);
	request_end(r);
}

static void stored(struct request *r)
{
	const struct isolating *i = r->data;
	char stamp[STERNA_STAMP_LEN];

	if (r->code[0] == '\0' && isolation_put(r->daemon->server, i->kind, i->target, i->until_us, request_arg(r, "reason"))
		!= STERNA_OK)
		request_note(r, "unavailable", "target", "too many are kept out already (limits.isolations)");
	if (r->code[0] != '\0') {
		request_end(r);
		return;
	}
	note_change(r, "sterna.isolation.began.v1", i->kind, i->target, i->until_us);
	r->found = json_pack("{s:s, s:s, s:s}", "kind", isolation_name(i->kind), "target", i->target, "until",
		sterna_stamp((time_t)(i->until_us / 1000000), stamp));
	if (is_slow(i->kind))
		request_end(r);
	else if (i->kind == ISOLATION_ACCOUNT)
		sessions_kick(r, "target", ended);
	else
		request_gather(r, NULL, end_part, ended);
}

static void run_isolate(struct request *r, struct users *u)
{
	const struct isolating *i = r->data;
	struct db_batch *b = users_batch(u);

	db_batch_add(b, &isolation_insert, (const struct db_value[]){ db_text(isolation_name(i->kind)), db_text(i->target),
		DB_INT(i->until_us), db_text(request_arg(r, "reason")), db_text(r->who) });
	(void)request_stored(r, users_commit(u, &b), "target", i->target);
}

static bool read_time(struct request *r, int64_t *until_us)
{
	const char *text = request_arg(r, "for");
	struct sterna_duration d = { HOUR_US };

	if (text != NULL && (!option_parse_duration(text, &d) || d.us <= 0 || d.us > MOST_US)) {
		request_refuse(r, "usage", "for", "'%s': a time like 15m, 2h or 7d, at most 3650d", text);
		return false;
	}
	*until_us = r->asked_us + d.us;
	return true;
}

static void isolate(struct request *r, bool slow)
{
	struct isolating *i = xalloc(sizeof *i);
	const char *why;
	char *target = NULL;

	r->data = i;
	if (!read_time(r, &i->until_us))
		return;
	if (isolation_target(r->daemon->server, request_arg(r, "target"), slow, &i->kind, &target, &why) != STERNA_OK) {
		request_refuse(r, "usage", "target", "'%s': %s", request_arg(r, "target"), why);
		return;
	}
	snprintf(i->target, sizeof i->target, "%s", target);
	free(target);
	if (is_address(i->kind) && ip_parse(i->target, &i->ip) != STERNA_OK) {
		request_refuse(r, "usage", "target", "'%s' is no address", i->target);
		return;
	}
	if (!r->is_local && (strcmp(i->target, r->who) == 0 || roles_above(admin_roles(r->admin), i->target, r->who))) {
		request_refuse(r, "forbidden", "target", "you cannot keep out yourself, or who has a higher role");
		return;
	}
	json_object_set_new(r->args, "target", json_string(i->target));
	request_on_storage(r, run_isolate, stored);
}

static void isolate_command(struct request *r)
{
	isolate(r, false);
}

static void throttle_command(struct request *r)
{
	isolate(r, true);
}

/* --- letting in --- */

static void run_release(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);

	db_batch_add(b, &isolation_delete, (const struct db_value[]){ db_text(request_arg(r, "target")) });
	(void)request_stored(r, users_commit(u, &b), "target", request_arg(r, "target"));
}

static void released(struct request *r)
{
	const char *target = request_arg(r, "target");
	bool any = false;

	for (unsigned k = 0; r->code[0] == '\0' && k < ISOLATION_KINDS; k++)
		if (isolation_drop(r->daemon->server, (enum isolation_kind)k, target)) {
			note_change(r, "sterna.isolation.ended.v1", (enum isolation_kind)k, target, 0);
			any = true;
		}
	if (!any)
		request_note(r, "not-found", "target", "%s is not kept out", target);
	request_end(r);
}

static void release_command(struct request *r)
{
	enum isolation_kind kind;
	const char *why;
	char *target = NULL;

	if (isolation_target(r->daemon->server, request_arg(r, "target"), false, &kind, &target, &why) != STERNA_OK) {
		request_refuse(r, "usage", "target", "'%s': %s", request_arg(r, "target"), why);
		return;
	}
	json_object_set_new(r->args, "target", json_string(target));
	free(target);
	request_on_storage(r, run_release, released);
}

/* --- who is kept out --- */

static void on_each(void *arg, enum isolation_kind k, const char *target, int64_t until_us, const char *reason)
{
	char stamp[STERNA_STAMP_LEN];

	json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:s?}", "target", target, "kind", isolation_name(k), "until",
		sterna_stamp((time_t)(until_us / 1000000), stamp), "reason", reason));
}

static void list_command(struct request *r)
{
	json_t *all = json_array();

	isolation_each(r->daemon->server, on_each, all);
	request_answer(r, all);
}

/* --- sessions that have to log in anew --- */

static void run_relogin(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);
	const char *jid;

	for (size_t i = 0; (jid = request_arg_at(r, "accountjids", i)) != NULL; i++)
		token_revoke_all(b, jid);
	(void)request_stored(r, users_commit(u, &b), "accountjids", request_arg(r, "accountjids"));
}

static void kicked(struct request *r)
{
	r->found = request_joined(r);
	request_end(r);
}

static void after_relogin(struct request *r)
{
	if (r->code[0] == '\0')
		sessions_kick(r, "accountjids", kicked);
	else
		request_end(r);
}

static void relogin_command(struct request *r)
{
	const char *jid;

	for (size_t i = 0; (jid = request_arg_at(r, "accountjids", i)) != NULL; i++)
		if (strchr(jid, '/') != NULL) {
			request_refuse(r, "usage", "accountjids", "'%s': all sessions of an account: name@domain, without a resource", jid);
			return;
		}
	request_on_storage(r, run_relogin, after_relogin);
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field target_fields[] = {
	{ "target", STERNA_FIELD_TEXT, true, "an IP address, an account of ours, or another server's domain", NULL },
	{ "for", STERNA_FIELD_TEXT, false, "how long: 15m, 2h, 7d; default: 1h", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why", NULL }, { 0 } };
static const struct sterna_field slow_fields[] = {
	{ "target", STERNA_FIELD_TEXT, true, "an IP address, or an account of ours", NULL },
	{ "for", STERNA_FIELD_TEXT, false, "how long: 15m, 2h, 7d; default: 1h", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why", NULL }, { 0 } };
static const struct sterna_field release_fields[] = {
	{ "target", STERNA_FIELD_TEXT, true, "as 'isolation list' shows it", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why", NULL }, { 0 } };
static const struct sterna_field relogin_fields[] = {
	{ "accountjids", STERNA_FIELD_ACCOUNTS, true, "The Jabber ID(s)", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why", NULL }, { 0 } };

enum { MAY = STERNA_ADMIN | STERNA_OPERATOR, SERVER = STERNA_COMMAND_SERVER };

#define COMMAND(name_, roles_, flags_, args_, fields_, summary_, fn_) \
	{ .c = { .name = name_, .roles = roles_, .flags = flags_, .args = args_, .fields = fields_, .summary = summary_ }, .fn = fn_ }

const struct command isolation_commands[] = {
	COMMAND("isolate", MAY, SERVER, "TARGET [FOR [REASON]]", target_fields,
		"keep out an address, an account or another server for a time", isolate_command),
	COMMAND("isolation list", MAY | STERNA_AUDITOR | STERNA_SUPPORT, SERVER | STERNA_COMMAND_READ, NULL, none,
		"who is kept out or throttled, and until when", list_command),
	COMMAND("release", MAY, SERVER, "TARGET [REASON]", release_fields, "let in again who was kept out", release_command),
	COMMAND("session relogin", STERNA_ADMIN | STERNA_SUPPORT, 0, "JID [REASON]", relogin_fields,
		"end an account's sessions and its tokens: whoever it is has to log in anew", relogin_command),
	COMMAND("throttle", MAY, SERVER, "TARGET [FOR [REASON]]", slow_fields,
		"let an address or an account try to log in rarely, for a time", throttle_command),
	{ .fn = NULL }
};
