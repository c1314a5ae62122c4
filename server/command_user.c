/* command_user.c - accounts: made, changed, ended, shown (XEP-0133 §4.1 to §4.10). */
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/audit.h"
#include "server/command_session.h"
#include "server/datetime.h"
#include "server/region.h"
#include "server/session.h"
#include "server/stream.h"
#include "server/user_impl.h"

#define ADMIN_NODE(word) "http://jabber.org/protocol/admin#" word

/* Bare, from the helper thread; r->args were checked. */
static struct jid *account_at(const struct request *r, const char *field, size_t index)
{
	const char *text = request_arg_at(r, field, index);
	struct jid *j = NULL, *bare;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK)
		return NULL;
	bare = jid_to_bare(j);
	jid_unref(&j);
	return bare;
}

/* All are there, before any is changed. @return false: noted */
static bool all_exist(struct request *r, struct users *u, const char *field)
{
	struct jid *j;

	for (size_t i = 0; (j = account_at(r, field, i)) != NULL; i++) {
		bool found = false;
		enum sterna_result rc = user_exists(u, jid_full(j), &found);

		if (rc == STERNA_OK && !found)
			rc = STERNA_ENOTFOUND;
		const bool ok = request_stored(r, rc, field, jid_full(j));

		jid_unref(&j);
		if (!ok)
			return false;
	}
	return true;
}

static void each_account(struct request *r, struct users *u, const char *field, enum sterna_result (*fn)(struct request *r,
	struct users *u, const struct jid *j))
{
	struct jid *j;

	if (!all_exist(r, u, field))
		return;
	for (size_t i = 0; (j = account_at(r, field, i)) != NULL; i++) {
		const bool ok = request_stored(r, fn(r, u, j), field, jid_full(j));

		jid_unref(&j);
		if (!ok)
			return;
	}
}

static void end_after_hearing(struct request *r)
{
	(void)sessions_heard(r);
	request_end(r);
}

/* --- add, password --- */

/* §4.1: what else is known of the person becomes their vCard (XEP-0054). */
static void put_vcard(struct request *r, struct users *u, const struct jid *j)
{
	static const struct db_stmt put = {
		.name = "command_vcard_put", .params = "tt",
		.sql = "INSERT INTO vcard (owner, xml) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING",
	};
	const char *email = request_arg(r, "email"), *given = request_arg(r, "given_name"), *surname = request_arg(r, "surname");
	struct arena *a = arena_new(1024);
	struct buf xml = BUF_INIT;
	struct sterna_elem *card = elem_new(a, "vCard", "vcard-temp"), *n;

	if (given != NULL || surname != NULL) {
		n = elem_add(a, card, "N", "vcard-temp");
		elem_add_text_elem(a, n, "FAMILY", surname != NULL ? surname : "");
		elem_add_text_elem(a, n, "GIVEN", given != NULL ? given : "");
	}
	if (email != NULL) {
		n = elem_add(a, card, "EMAIL", "vcard-temp");
		elem_add(a, n, "INTERNET", "vcard-temp");
		elem_add_text_elem(a, n, "USERID", email);
	}
	if (elem_first(card) != NULL) {
		struct db_batch *b = users_batch(u);

		elem_write(&xml, card, NULL);
		db_batch_add(b, &put, (const struct db_value[]){ db_text(jid_full(j)), db_text(buf_str(&xml)) });
		(void)request_stored(r, users_commit(u, &b), NULL, jid_full(j));
		buf_release(&xml);
	}
	arena_free(&a);
}

static void run_add(struct request *r, struct users *u)
{
	struct jid *j = account_at(r, "accountjid", 0);
	char elsewhere[REGION_TEXT];

	if (region_refuses(r->daemon->config, j, elsewhere))
		request_note(r, "failed", "accountjid", "%s", elsewhere);
	else if (request_stored(r, user_create(u, j, request_arg(r, "password")), "accountjid", jid_full(j)))
		put_vcard(r, u, j);
	jid_unref(&j);
}

/* One bare address, where there must be a new account. */
static bool is_bare(struct request *r, const char *field)
{
	const char *text = request_arg(r, field);

	if (strchr(text, '/') == NULL)
		return true;
	request_refuse(r, "usage", field, "'%s': an account's address is name@domain, without a resource", text);
	return false;
}

static void user_add(struct request *r)
{
	const char *again = request_arg(r, "password-verify");

	if (!is_bare(r, "accountjid"))
		return;
	if (again != NULL && strcmp(again, request_arg(r, "password")) != 0) {
		request_refuse(r, "usage", "password-verify", "the two passwords are not the same");
		return;
	}
	r->found = json_pack("{s:s}", "accountjid", request_arg(r, "accountjid"));
	request_on_storage(r, run_add, NULL);
}

static void run_password(struct request *r, struct users *u)
{
	struct jid *j = account_at(r, "accountjid", 0);

	(void)request_stored(r, user_set_password(u, j, request_arg(r, "password")), "accountjid", jid_full(j));
	jid_unref(&j);
}

static void after_password(struct request *r)
{
	sessions_hear(r, "accountjid", "password", end_after_hearing);
}

static void user_passwd(struct request *r)
{
	if (is_bare(r, "accountjid"))
		request_on_storage(r, run_password, after_password);
}

/* --- delete, disable, enable --- */

static enum sterna_result delete_one(struct request *r, struct users *u, const struct jid *j)
{
	(void)r;
	return user_delete(u, j);
}

static void run_delete(struct request *r, struct users *u)
{
	each_account(r, u, "accountjids", delete_one);
}

/* What their last sessions wrote while they ended goes too. */
static void run_delete_again(struct request *r, struct users *u)
{
	struct jid *j;

	for (size_t i = 0; (j = account_at(r, "accountjids", i)) != NULL; i++) {
		const enum sterna_result rc = user_delete(u, j);

		(void)request_stored(r, rc == STERNA_ENOTFOUND ? STERNA_OK : rc, "accountjids", jid_full(j));
		jid_unref(&j);
	}
}

static void after_delete_sessions(struct request *r)
{
	const char *jid;

	for (size_t i = 0; (jid = request_arg_at(r, "accountjids", i)) != NULL; i++)
		roles_forget(admin_roles(r->admin), jid);
	if (sessions_heard(r))
		request_on_storage(r, run_delete_again, NULL);
	else
		request_end(r);
}

static void after_delete(struct request *r)
{
	sessions_hear(r, "accountjids", "deleted", after_delete_sessions);
}

/* Whose request is under way cannot be forgotten under it. */
static bool not_oneself(struct request *r, const char *what)
{
	const char *jid;

	for (size_t i = 0; (jid = request_arg_at(r, "accountjids", i)) != NULL; i++) {
		if (strcmp(jid, r->who) == 0) {
			request_refuse(r, "forbidden", "accountjids", "you cannot %s yourself", what);
			return false;
		}
		if (strchr(jid, '/') != NULL) {
			request_refuse(r, "usage", "accountjids", "'%s': an account's address is name@domain, without a resource", jid);
			return false;
		}
	}
	return true;
}

static void user_delete_command(struct request *r)
{
	if (not_oneself(r, "delete"))
		request_on_storage(r, run_delete, after_delete);
}

static enum sterna_result disable_one(struct request *r, struct users *u, const struct jid *j)
{
	return user_disable(u, j, request_arg(r, "reason"));
}

static void run_disable(struct request *r, struct users *u)
{
	each_account(r, u, "accountjids", disable_one);
}

static void after_disable(struct request *r)
{
	sessions_hear(r, "accountjids", "disabled", end_after_hearing);
}

static void user_disable_command(struct request *r)
{
	if (not_oneself(r, "disable"))
		request_on_storage(r, run_disable, after_disable);
}

static enum sterna_result enable_one(struct request *r, struct users *u, const struct jid *j)
{
	(void)r;
	return user_enable(u, j);
}

static void run_enable(struct request *r, struct users *u)
{
	each_account(r, u, "accountjids", enable_one);
}

static void after_enable(struct request *r)
{
	sessions_hear(r, "accountjids", "enabled", end_after_hearing);
}

static void user_enable_command(struct request *r)
{
	request_on_storage(r, run_enable, after_enable);
}

/* --- sessions --- */

static void kicked(struct request *r)
{
	r->found = request_joined(r);
	if (json_integer_value(json_object_get(r->found, "ended")) == 0)
		request_note(r, "not-found", "accountjids", "there is no such session");
	request_end(r);
}

static void session_kick_command(struct request *r)
{
	sessions_kick(r, "accountjids", kicked);
}

/* sternactl has changed the storage itself: import, or while the server was starting. */
static void changed(struct request *r)
{
	if (strcmp(request_arg(r, "what"), "deleted") == 0)
		roles_forget(admin_roles(r->admin), request_arg(r, "accountjid"));
	end_after_hearing(r);
}

static void user_changed(struct request *r)
{
	static const char *const kinds[] = { "password", "disabled", "enabled", "deleted", "imported", NULL };

	for (size_t i = 0; kinds[i] != NULL; i++)
		if (strcmp(kinds[i], request_arg(r, "what")) == 0) {
			sessions_hear(r, "accountjid", kinds[i], changed);
			return;
		}
	request_refuse(r, "usage", "what", "user changed JID password|disabled|enabled|deleted|imported");
}

/* sternactl is about to read out accounts with all they have. */
static void user_exported(struct request *r)
{
	audit_post(r->daemon->server, NULL, "sterna.data.exported.v1", r->who, (const struct sterna_datum[]){
		STERNA_DATUM("scope", request_arg(r, "scope")), STERNA_NUMBER("accounts", strtoll(request_arg(r, "accounts"), NULL, 10)),
		STERNA_DATUM("door", r->door), { 0 } });
	request_answer(r, NULL);
}

/* --- shown --- */

static void on_info(void *arg, const struct user_info *i)
{
	char created[STERNA_STAMP_LEN], logout[STERNA_STAMP_LEN];

	*(json_t **)arg = json_pack("{s:s, s:s, s:b, s:s?, s:s?, s:s?}", "accountjid", i->jid, "created",
		sterna_stamp_us(i->created_us, created), "disabled", (int)i->disabled, "reason", i->reason, "last_logout",
		i->last_logout_us != 0 ? sterna_stamp_us(i->last_logout_us, logout) : NULL, "last_status", i->last_status);
}

static void run_show(struct request *r, struct users *u)
{
	struct jid *j = account_at(r, "accountjid", 0);
	struct user_details d = { .mechanisms = "" };

	if (request_stored(r, user_get(u, j, &d, on_info, &r->found), "accountjid", jid_full(j))) {
		json_object_set_new(r->found, "mechanisms", json_string(d.mechanisms));
		json_object_set_new(r->found, "contacts", json_integer(d.contacts));
		json_object_set_new(r->found, "archived", json_integer(d.archived));
		json_object_set_new(r->found, "offline", json_integer(d.offline));
	}
	jid_unref(&j);
}

static void user_show(struct request *r)
{
	request_on_storage(r, run_show, NULL);
}

/* §4.8: the roster as RFC 6121 §2.1.2 has it. */
static void on_roster(void *arg, const struct db_rows *rows)
{
	static const char *const words[] = { "none", "to", "from", "both" };

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		const char *groups = db_str(rows, i, 3, NULL);

		json_array_append_new(arg, json_pack("{s:s, s:s?, s:s, s:o}", "jid", db_str(rows, i, 0, NULL), "name",
			db_str(rows, i, 1, NULL), "subscription", words[db_int(rows, i, 2) & 3], "groups",
			groups != NULL ? json_loads(groups, 0, NULL) : json_array()));
	}
}

static void run_roster(struct request *r, struct users *u)
{
	static const struct db_stmt get = {
		.name = "command_roster", .params = "t", .columns = "ttit",
		.sql = "SELECT contact, name, subscription, groups FROM roster WHERE owner = $1 AND removed = 0 ORDER BY contact",
	};
	json_t *items = json_array();
	struct jid *j;

	if (all_exist(r, u, "accountjids"))
		for (size_t i = 0; (j = account_at(r, "accountjids", i)) != NULL; i++) {
			const enum sterna_result rc = users_read(u, &get, (const struct db_value[]){ db_text(jid_full(j)) },
				on_roster, items);

			(void)request_stored(r, rc, "accountjids", jid_full(j));
			jid_unref(&j);
		}
	r->found = json_pack("{s:O, s:o}", "accountjids", json_object_get(r->args, "accountjids"), "roster", items);
}

static void user_roster(struct request *r)
{
	request_on_storage(r, run_roster, NULL);
}

/* --- statistics: §4.10, and when someone was there last: §4.9 --- */

static json_t *stats_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	struct jid *j = account_at(r, "accountjid", 0);
	const struct account *a = j != NULL && server_owner(w->server, j) == w ? account_find(w, jid_full(j)) : NULL;
	const int64_t now_us = loop_wall_us(w->loop);
	json_t *addresses = json_array(), *resources = json_array();
	double stanzas = 0, age_s = 1;

	for (const struct sterna_session *s = a != NULL ? a->sessions : NULL; s != NULL; s = s->next) {
		const double s_age = (double)(now_us - s->bound_us) / 1e6;

		json_array_append_new(resources, json_string(jid_resource(s->jid)));
		if (s->stream != NULL)
			json_array_append_new(addresses, json_string(s->stream->transport->peer));
		stanzas += (double)s->stanzas_in;
		age_s = s_age > age_s ? s_age : age_s;
	}
	jid_unref(&j);
	if (a == NULL) {
		json_decref(addresses);
		json_decref(resources);
		return NULL;
	}
	char per_second[32], per_minute[32];
	const double known_s = (double)(now_us - a->known_us) / 1e6;

	snprintf(per_second, sizeof per_second, "%.3f", stanzas / age_s);
	snprintf(per_minute, sizeof per_minute, "%.3f", a->logins / (known_s > 60 ? known_s / 60 : 1));
	return json_pack("{s:o, s:i, s:o, s:s, s:s}", "ipaddresses", addresses, "rostersize", (int)a->roster.count,
		"onlineresources", resources, "stanzaspersecond", per_second, "loginsperminute", per_minute);
}

static void run_stats(struct request *r, struct users *u)
{
	struct jid *j = account_at(r, "accountjid", 0);
	struct user_details d = { .contacts = 0 };
	json_t *info = NULL;

	if (request_stored(r, user_get(u, j, &d, on_info, &info), "accountjid", jid_full(j)) && json_is_null(r->found)) {
		json_decref(r->found);
		r->found = json_pack("{s:[], s:I, s:[], s:s, s:s}", "ipaddresses", "rostersize", (json_int_t)d.contacts,
			"onlineresources", "stanzaspersecond", "0.000", "loginsperminute", "0.000");
	}
	json_decref(info);
	jid_unref(&j);
}

static void stats_known(struct request *r)
{
	r->found = request_joined(r);
	request_on_storage(r, run_stats, NULL);
}

static void user_stats(struct request *r)
{
	request_gather(r, NULL, stats_part, stats_known);
}

static json_t *since_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	json_t *all = json_object();

	for (size_t i = 0; request_arg_at(r, "accountjids", i) != NULL; i++) {
		struct jid *j = account_at(r, "accountjids", i);
		const struct account *a = server_owner(w->server, j) == w ? account_find(w, jid_full(j)) : NULL;
		int64_t newest_us = 0;

		for (const struct sterna_session *s = a != NULL ? a->sessions : NULL; s != NULL; s = s->next)
			newest_us = s->bound_us > newest_us ? s->bound_us : newest_us;
		if (newest_us > 0)
			json_object_set_new(all, jid_full(j), json_integer(newest_us));
		jid_unref(&j);
	}
	return all;
}

static void on_logout(void *arg, const struct user_info *i)
{
	*(int64_t *)arg = i->last_logout_us;
}

static void run_last(struct request *r, struct users *u)
{
	json_t *online = r->found, *rows = json_array();
	struct jid *j;

	r->found = NULL;
	for (size_t i = 0; (j = account_at(r, "accountjids", i)) != NULL && r->code[0] == '\0'; i++) {
		char stamp[STERNA_STAMP_LEN];
		int64_t us = 0;
		const enum sterna_result rc = user_get(u, j, NULL, on_logout, &us);
		const json_t *since = json_object_get(online, jid_full(j));

		if (since != NULL)
			us = json_integer_value(since);
		if (request_stored(r, rc, "accountjids", jid_full(j)))
			json_array_append_new(rows, json_string(us != 0 ? sterna_stamp_us(us, stamp) : "never"));
		jid_unref(&j);
	}
	json_decref(online);
	r->found = json_pack("{s:O, s:o}", "accountjids", json_object_get(r->args, "accountjids"), "lastlogin", rows);
}

static void since_known(struct request *r)
{
	r->found = request_joined(r);
	request_on_storage(r, run_last, NULL);
}

static void user_lastlogin(struct request *r)
{
	request_gather(r, NULL, since_part, since_known);
}

static const struct sterna_field add_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID for the account to be added", NULL },
	{ "password", STERNA_FIELD_SECRET, true, "The password for this account", NULL },
	{ "password-verify", STERNA_FIELD_SECRET, false, "Retype password", NULL },
	{ "email", STERNA_FIELD_TEXT, false, "Email address", NULL },
	{ "given_name", STERNA_FIELD_TEXT, false, "Given name", NULL },
	{ "surname", STERNA_FIELD_TEXT, false, "Family name", NULL }, { 0 } };
static const struct sterna_field password_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID for this account", NULL },
	{ "password", STERNA_FIELD_SECRET, true, "The password for this account", NULL }, { 0 } };
static const struct sterna_field many_fields[] = {
	{ "accountjids", STERNA_FIELD_ACCOUNTS, true, "The Jabber ID(s)", NULL }, { 0 } };
static const struct sterna_field reason_fields[] = {
	{ "accountjids", STERNA_FIELD_ACCOUNTS, true, "The Jabber ID(s)", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why", NULL }, { 0 } };
static const struct sterna_field one_field[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL }, { 0 } };
static const struct sterna_field exported_fields[] = {
	{ "scope", STERNA_FIELD_TEXT, true, "an account, a host, or all", NULL },
	{ "accounts", STERNA_FIELD_NUMBER, true, "how many", NULL }, { 0 } };
static const struct sterna_field changed_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL },
	{ "what", STERNA_FIELD_TEXT, true, "What has happened to it", NULL }, { 0 } };

enum { HELP = STERNA_ADMIN | STERNA_SUPPORT, READS = STERNA_COMMAND_READ };

#define COMMAND(name_, node_, roles_, flags_, fields_, summary_, fn_) \
	{ .c = { .name = name_, .node = node_, .roles = roles_, .flags = flags_, .fields = fields_, .summary = summary_ }, \
	  .fn = fn_ }

const struct command user_commands[] = {
	COMMAND("session kick", ADMIN_NODE("end-user-session"), HELP | STERNA_OPERATOR, 0, reason_fields, "End User Session",
		session_kick_command),
	COMMAND("user add", ADMIN_NODE("add-user"), STERNA_ADMIN, 0, add_fields, "Add User", user_add),
	COMMAND("user changed", NULL, STERNA_OWNER, STERNA_COMMAND_LOCAL, changed_fields, "an account was changed on the storage",
		user_changed),
	COMMAND("user delete", ADMIN_NODE("delete-user"), STERNA_ADMIN, STERNA_COMMAND_DANGEROUS, many_fields, "Delete User",
		user_delete_command),
	COMMAND("user disable", ADMIN_NODE("disable-user"), HELP, 0, reason_fields, "Disable User", user_disable_command),
	COMMAND("user enable", ADMIN_NODE("reenable-user"), HELP, 0, many_fields, "Re-Enable User", user_enable_command),
	COMMAND("user exported", NULL, STERNA_OWNER, STERNA_COMMAND_LOCAL, exported_fields, "accounts are exported",
		user_exported),
	COMMAND("user lastlogin", ADMIN_NODE("get-user-lastlogin"), HELP, READS, many_fields, "Get User Last Login Time",
		user_lastlogin),
	COMMAND("user passwd", ADMIN_NODE("change-user-password"), HELP, 0, password_fields, "Change User Password", user_passwd),
	COMMAND("user roster", ADMIN_NODE("get-user-roster"), STERNA_ADMIN, READS, many_fields, "Get User Roster", user_roster),
	COMMAND("user show", NULL, HELP, READS, one_field, "one account, and how much is stored of it", user_show),
	COMMAND("user stats", ADMIN_NODE("user-stats"), HELP | STERNA_OPERATOR, READS, one_field, "Get User Statistics",
		user_stats),
	{ .fn = NULL }
};
