/* command_service.c - who may administer (XEP-0133 §4.29), and the end or a new start of the server (§4.30, §4.31). */
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/request.h"
#include "server/route.h"
#include "server/session.h"
#include "server/user_impl.h"

#define ADMIN_NODE(word) "http://jabber.org/protocol/admin#" word

static const struct db_stmt role_put = {
	.name = "role_put", .params = "tttti",
	.sql = "INSERT INTO admin_role (jid, host, role, granted_by, granted) VALUES ($1, $2, $3, $4, $5) "
	       "ON CONFLICT (jid, host) DO UPDATE SET role = excluded.role, granted_by = excluded.granted_by, "
	       "granted = excluded.granted",
};
static const struct db_stmt role_drop = {
	.name = "role_drop", .params = "tt", .sql = "DELETE FROM admin_role WHERE jid = $1 AND host = $2",
};

/* --- roles --- */

/* host "": of all hosts */
static const char *host_of(const struct request *r)
{
	const char *host = request_arg(r, "host");

	return host != NULL ? host : r->host != NULL ? r->host : "";
}

static void run_grant(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);
	bool found = false;
	const char *jid = request_arg(r, "accountjid");
	enum sterna_result rc = user_exists(u, jid, &found);

	/* A role for an account that is not there would be the first one's who registers it. */
	if (rc == STERNA_OK && !found)
		rc = STERNA_ENOTFOUND;
	if (!request_stored(r, rc, "accountjid", jid)) {
		db_batch_drop(&b);
		return;
	}
	db_batch_add(b, &role_put, (const struct db_value[]){ db_text(jid), db_text(host_of(r)),
		db_text(request_arg(r, "role")), db_text(r->who), DB_INT(loop_wall_us(u->loop)) });
	(void)request_stored(r, users_commit(u, &b), NULL, jid);
}

static void granted(struct request *r)
{
	roles_set(admin_roles(r->admin), request_arg(r, "accountjid"), host_of(r), roles_parse(request_arg(r, "role")));
	request_end(r);
}

static bool is_bare(struct request *r, const char *jid, const char *field)
{
	if (strchr(jid, '/') == NULL)
		return true;
	request_refuse(r, "usage", field, "'%s': an account's address is name@domain, without a resource", jid);
	return false;
}

/* A role for all hosts is given by those who have theirs for all. */
static bool reaches(struct request *r)
{
	if (r->is_local || *host_of(r) != '\0'
		|| (roles_of(admin_roles(r->admin), r->who, NULL) & STERNA_OWNER) != 0)
		return true;
	request_refuse(r, "forbidden", "host", "your role does not reach all hosts");
	return false;
}

static void role_grant(struct request *r)
{
	if (is_bare(r, request_arg(r, "accountjid"), "accountjid") && reaches(r))
		request_on_storage(r, run_grant, granted);
}

static void run_revoke(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);

	db_batch_add(b, &role_drop, (const struct db_value[]){ db_text(request_arg(r, "accountjid")), db_text(host_of(r)) });
	(void)request_stored(r, users_commit(u, &b), NULL, request_arg(r, "accountjid"));
}

static void revoked(struct request *r)
{
	roles_set(admin_roles(r->admin), request_arg(r, "accountjid"), host_of(r), 0);
	request_end(r);
}

struct looking {
	const char *jid, *host;
	bool found, fixed;
};

static void look(void *arg, const char *jid, const char *host, unsigned role, bool fixed)
{
	struct looking *l = arg;

	(void)role;
	if (strcmp(jid, l->jid) != 0 || strcmp(host, l->host) != 0)
		return;
	l->found |= !fixed;
	l->fixed |= fixed;
}

static void role_revoke(struct request *r)
{
	struct looking l = { request_arg(r, "accountjid"), host_of(r), false, false };

	if (!is_bare(r, l.jid, "accountjid") || !reaches(r))
		return;
	roles_each(admin_roles(r->admin), look, &l);
	if (l.found)
		request_on_storage(r, run_revoke, revoked);
	else
		request_refuse(r, "not-found", "accountjid", l.fixed ? "'%s' has the role by the configuration, under admins"
			: "'%s' has no such role", l.jid);
}

struct showing {
	const struct request *r;
	json_t *list;
};

static void show(void *arg, const char *jid, const char *host, unsigned role, bool fixed)
{
	struct showing *s = arg;

	if (s->r->host == NULL || *host == '\0' || strcmp(host, s->r->host) == 0)
		json_array_append_new(s->list, json_pack("{s:s, s:s, s:s, s:b}", "accountjid", jid, "role", roles_word(role),
			"host", *host != '\0' ? host : "*", "configured", (int)fixed));
}

static void role_list(struct request *r)
{
	struct showing s = { r, json_array() };

	roles_each(admin_roles(r->admin), show, &s);
	request_answer(r, s.list);
}

/* --- the list of XEP-0133: those with the role "admin" that was granted here --- */

static void show_admin(void *arg, const char *jid, const char *host, unsigned role, bool fixed)
{
	struct showing *s = arg;

	if (role == STERNA_ADMIN && !fixed && strcmp(host, s->r->host != NULL ? s->r->host : "") == 0)
		json_array_append_new(s->list, json_string(jid));
}

static json_t *admins(const struct request *r)
{
	struct showing s = { r, json_array() };

	roles_each(admin_roles(r->admin), show_admin, &s);
	return s.list;
}

static void current_admins(struct request *r)
{
	request_answer(r, json_pack("{s:o}", "adminjids", admins(r)));
}

static bool is_named(const struct request *r, const char *jid)
{
	const char *given;

	for (size_t i = 0; (given = request_arg_at(r, "adminjids", i)) != NULL; i++)
		if (strcmp(given, jid) == 0)
			return true;
	return false;
}

/* One transaction: who is named and was not, and who was and is not. */
static void run_edit(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);
	json_t *old = r->data, *one;
	const char *jid;
	size_t i;
	bool ok = true;

	for (i = 0; ok && (jid = request_arg_at(r, "adminjids", i)) != NULL; i++) {
		bool found = false;
		enum sterna_result rc = user_exists(u, jid, &found);

		ok = request_stored(r, rc == STERNA_OK && !found ? STERNA_ENOTFOUND : rc, "adminjids", jid);
		if (ok)
			db_batch_add(b, &role_put, (const struct db_value[]){ db_text(jid), db_text(host_of(r)), db_text("admin"),
				db_text(r->who), DB_INT(loop_wall_us(u->loop)) });
	}
	json_array_foreach(old, i, one)
		if (!is_named(r, json_string_value(one)))
			db_batch_add(b, &role_drop, (const struct db_value[]){ db_text(json_string_value(one)), db_text(host_of(r)) });
	if (ok && db_batch_count(b) > 0)
		(void)request_stored(r, users_commit(u, &b), NULL, "the list");
	else
		db_batch_drop(&b);
	r->data = NULL;
	json_decref(old);
}

static void edited(struct request *r)
{
	json_t *old = admins(r), *one;
	const char *jid;
	size_t i;

	json_array_foreach(old, i, one)
		if (!is_named(r, json_string_value(one)))
			roles_set(admin_roles(r->admin), json_string_value(one), host_of(r), 0);
	for (i = 0; (jid = request_arg_at(r, "adminjids", i)) != NULL; i++)
		roles_set(admin_roles(r->admin), jid, host_of(r), STERNA_ADMIN);
	json_decref(old);
	request_end(r);
}

static void edit_admin(struct request *r)
{
	const char *jid;

	for (size_t i = 0; (jid = request_arg_at(r, "adminjids", i)) != NULL; i++)
		if (!is_bare(r, jid, "adminjids"))
			return;
	if (!reaches(r))
		return;
	r->data = admins(r);
	request_on_storage(r, run_edit, edited);
}

/* --- shutdown, restart --- */

static json_t *announce_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	struct buf text = BUF_INIT;
	struct map_entry *e;
	const char *line;

	for (size_t i = 0; (line = request_arg_at(r, "announcement", i)) != NULL; i++)
		buf_addf(&text, "%s%s", i > 0 ? "\n" : "", line);
	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		const struct account *a = e->value;

		for (struct sterna_session *s = a->sessions, *next; s != NULL; s = next) {
			struct stanza *st = stanza_make("message", "headline", a->host->jid, s->jid, NULL);

			next = s->next;
			elem_add_text_elem(st->arena, st->elem, "body", buf_str(&text));
			session_send(s, st, NULL, 0);
			stanza_unref(&st);
		}
	}
	buf_release(&text);
	return NULL;
}

static void end_soon(struct request *r)
{
	const char *delay = request_arg(r, "delay");

	daemon_end(r->daemon, delay != NULL ? (unsigned)strtoul(delay, NULL, 10) : 1, strcmp(r->name, "restart") == 0);
	request_end(r);
}

static void end_command(struct request *r)
{
	if (request_arg(r, "announcement") != NULL)
		request_gather(r, NULL, announce_part, end_soon);
	else
		end_soon(r);
}

static const struct sterna_field grant_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL },
	{ "role", STERNA_FIELD_CHOICE, true, "The role", "owner|admin|operator|auditor|support" },
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: the one asked at", NULL }, { 0 } };
static const struct sterna_field revoke_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL },
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: the one asked at", NULL }, { 0 } };
static const struct sterna_field admin_fields[] = {
	{ "adminjids", STERNA_FIELD_ACCOUNTS, false, "The admin list", NULL }, { 0 } };
static const struct sterna_field end_fields[] = {
	{ "delay", STERNA_FIELD_CHOICE, false, "Seconds until then", "1|30|60|90|120|180|240|300" },
	{ "announcement", STERNA_FIELD_LINES, false, "Announcement", NULL }, { 0 } };
static const struct sterna_field none[] = { { 0 } };

enum { END = STERNA_COMMAND_SERVER | STERNA_COMMAND_DANGEROUS };

#define COMMAND(name_, node_, roles_, flags_, fields_, summary_, ...) \
	{ .c = { .name = name_, .node = node_, .roles = roles_, .flags = flags_, .fields = fields_, .summary = summary_ }, \
	  __VA_ARGS__ }

const struct command service_commands[] = {
	COMMAND("restart", ADMIN_NODE("restart"), STERNA_ADMIN | STERNA_OPERATOR, END, end_fields, "Restart Service",
		.fn = end_command),
	COMMAND("role edit", ADMIN_NODE("edit-admin"), STERNA_OWNER, 0, admin_fields, "Edit Admin List", .fn = edit_admin,
		.current = current_admins),
	COMMAND("role grant", NULL, STERNA_OWNER, 0, grant_fields, "give an account a role", .fn = role_grant),
	COMMAND("role list", NULL, STERNA_ADMIN | STERNA_AUDITOR, STERNA_COMMAND_READ, none, "who has which role",
		.fn = role_list),
	COMMAND("role revoke", NULL, STERNA_OWNER, 0, revoke_fields, "take a role away", .fn = role_revoke),
	COMMAND("shutdown", ADMIN_NODE("shutdown"), STERNA_ADMIN | STERNA_OPERATOR, END, end_fields, "Shut Down Service",
		.fn = end_command),
	{ .fn = NULL }
};
