/* Whom the hosts do not communicate with (black lists), or only with these (white lists): XEP-0133 §4.11, §4.12.
 *
 * Entries are addresses of any form; the user's is looked for first, then the domain's, as XEP-0016 orders it. A host's
 * own users are not kept from each other by a white list. Each worker has all lists in memory; they are read when the
 * first stanza comes, and changed by commands, which run on all workers. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"
#include "xep/jid_list.h"

#define ADMIN_NODE(word) "http://jabber.org/protocol/admin#" word

enum { IN = 1, OUT = 2, BOTH = 3 };
enum list_kind { BLACK, WHITE, LISTS };
static const char *const list_words[LISTS] = { "black", "white" };

struct host_lists {
	struct host_lists *next;
	char *host;
	struct jid_list list[LISTS][2];      /* [0] in, [1] out */
};
struct access_worker {
	struct host_lists *hosts;
	bool loaded;
};

struct access_config { unsigned entries; };
static const struct sterna_option options[] = {
	STERNA_OPT(struct access_config, entries, "10000", "1..1000000", "of one list"),
	{ 0 }
};

static const struct db_stmt load = {
	.name = "access_load", .params = "", .columns = "ttit",
	.sql = "SELECT host, list, direction, jid FROM access_list",
};
static const struct db_stmt put = {
	.name = "access_put", .params = "ttit",
	.sql = "INSERT INTO access_list (host, list, direction, jid) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (host, list, direction, jid) DO NOTHING",
};
static const struct db_stmt drop = {
	.name = "access_drop", .params = "tti", .sql = "DELETE FROM access_list WHERE host = $1 AND list = $2 AND direction = $3",
};

/* --- in memory --- */

static struct host_lists *lists_of(struct sterna_call *c, const char *host, bool make)
{
	struct access_worker *w = sterna_worker_slot(c);
	struct host_lists *h = w->hosts;

	while (h != NULL && strcmp(h->host, host) != 0)
		h = h->next;
	if (h == NULL && make) {
		h = xalloc(sizeof *h);
		h->host = xstrdup(host);
		h->next = w->hosts;
		w->hosts = h;
	}
	return h;
}

static void clear(struct access_worker *w)
{
	while (w->hosts != NULL) {
		struct host_lists *h = w->hosts;

		w->hosts = h->next;
		for (int k = 0; k < LISTS; k++) {
			jid_list_clear(&h->list[k][0]);
			jid_list_clear(&h->list[k][1]);
		}
		free(h->host);
		free(h);
	}
}

static void on_worker_end(struct sterna_call *c)
{
	struct access_worker *w = sterna_worker_slot(c);

	if (w != NULL)
		clear(w);
}

static void take_rows(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct access_worker *w = sterna_worker_slot(c);

	if (w->loaded)
		return;
	for (size_t i = 0; i < rows->count; i++) {
		const char *const *row = &rows->text[i * rows->columns];
		const int kind = strcmp(row[1], list_words[WHITE]) == 0 ? WHITE : BLACK;

		(void)jid_list_add(&lists_of(c, row[0], true)->list[kind][db_int(rows->db, i, 2) == OUT], row[3]);
	}
	w->loaded = true;
}

/* --- the stops --- */

static bool is_empty(const struct access_worker *w)
{
	for (const struct host_lists *h = w->hosts; h != NULL; h = h->next)
		for (int k = 0; k < LISTS; k++)
			if (h->list[k][0].count > 0 || h->list[k][1].count > 0)
				return false;
	return true;
}

static enum sterna_verdict judge(struct sterna_call *c, const struct jid *other, int direction)
{
	if (is_empty(sterna_worker_slot(c))) {
		sterna_rest(c, STERNA_REST_WORKER, true); /* until a list is changed */
		return STERNA_NEXT;
	}
	const char *host = sterna_host(c);
	const struct host_lists *h = host != NULL ? lists_of(c, host, false) : NULL;
	const int d = direction == OUT;

	if (h == NULL || other == NULL)
		return STERNA_NEXT;
	if (jid_list_matches(&h->list[BLACK][d], other))
		return sterna_reject(c, direction == OUT ? STERNA_NOT_ALLOWED : STERNA_FORBIDDEN, "by a list of this server");
	if (h->list[WHITE][d].count > 0 && strcmp(jid_domain(other), host) != 0
		&& !jid_list_matches(&h->list[WHITE][d], other))
		return sterna_reject(c, direction == OUT ? STERNA_NOT_ALLOWED : STERNA_FORBIDDEN, "on no list of this server");
	return STERNA_NEXT;
}

static enum sterna_verdict on_lists_out(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the lists could not be read");
	take_rows(c, rows);
	return judge(c, sterna_to(c), OUT);
}

static enum sterna_verdict on_out(struct sterna_call *c)
{
	const struct access_worker *w = sterna_worker_slot(c);

	return w->loaded ? judge(c, sterna_to(c), OUT) : sterna_read(c, on_lists_out, &load);
}

static enum sterna_verdict on_lists_in(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the lists could not be read");
	take_rows(c, rows);
	return judge(c, sterna_from(c), IN);
}

static enum sterna_verdict on_in(struct sterna_call *c)
{
	const struct access_worker *w = sterna_worker_slot(c);

	return w->loaded ? judge(c, sterna_from(c), IN) : sterna_read(c, on_lists_in, &load);
}

/* --- commands --- */

struct change {
	enum list_kind kind;
	int direction;
	bool replace;
	const char *field;
};

static const char *host_of(struct sterna_call *c)
{
	const char *host = sterna_command_arg(c, "host");

	if (host == NULL)
		host = sterna_host(c);
	if (host == NULL)
		(void)sterna_reject(c, STERNA_BAD_REQUEST, "name the host");
	return host;
}

static bool change_one(struct sterna_call *c, const struct change *k, const char *host, int d)
{
	const struct access_config *cfg = sterna_config(c);
	struct jid_list *l = &lists_of(c, host, true)->list[k->kind][d];
	const char *jid;

	if (k->replace) {
		jid_list_clear(l);
		sterna_write(c, &drop, host, list_words[k->kind], (int64_t)(d == 0 ? IN : OUT));
	}
	for (size_t i = 0; (jid = sterna_command_arg_at(c, k->field, i)) != NULL; i++) {
		if (l->count >= cfg->entries)
			return false;
		(void)jid_list_add(l, jid);
		sterna_write(c, &put, host, list_words[k->kind], (int64_t)(d == 0 ? IN : OUT), jid);
	}
	return true;
}

static enum sterna_verdict change_now(struct sterna_call *c)
{
	const struct change *k = sterna_data(c);
	const char *host = host_of(c);

	if (host == NULL)
		return STERNA_REJECT;
	sterna_rest(c, STERNA_REST_WORKER, false);
	for (int d = 0; d < 2; d++)
		if ((k->direction & (d == 0 ? IN : OUT)) != 0 && !change_one(c, k, host, d)) {
			clear(sterna_worker_slot(c)); /* as it is stored, when it is needed next */
			((struct access_worker *)sterna_worker_slot(c))->loaded = false;
			return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the list is full (option entries of access)");
		}
	return STERNA_DONE;
}

static enum sterna_verdict on_lists_change(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the lists could not be read");
	take_rows(c, rows);
	return change_now(c);
}

static enum sterna_verdict change(struct sterna_call *c, enum list_kind kind, int direction, bool replace, const char *field)
{
	const struct access_worker *w = sterna_worker_slot(c);
	struct change *k = sterna_alloc(c, sizeof *k);

	*k = (struct change){ kind, direction, replace, field };
	sterna_set_data(c, k);
	return w->loaded ? change_now(c) : sterna_read(c, on_lists_change, &load);
}

#define CHANGE(name_, kind_, direction_, replace_, field_) \
	static enum sterna_verdict name_(struct sterna_call *c) { return change(c, kind_, direction_, replace_, field_); }
CHANGE(edit_black, BLACK, BOTH, true, "blacklistjids")
CHANGE(add_black_in, BLACK, IN, false, "blacklistjids")
CHANGE(add_black_out, BLACK, OUT, false, "blacklistjids")
CHANGE(edit_white, WHITE, BOTH, true, "whitelistjids")
CHANGE(add_white, WHITE, BOTH, false, "whitelistjids")
CHANGE(add_white_in, WHITE, IN, false, "whitelistjids")
CHANGE(add_white_out, WHITE, OUT, false, "whitelistjids")

/* What the form shows: entries of either direction. */
static enum sterna_verdict show(struct sterna_call *c)
{
	const int kind = (int)(intptr_t)sterna_data(c);
	const struct host_lists *h = lists_of(c, sterna_host(c), false);
	json_t *list = json_array();

	for (int d = 0; h != NULL && d < 2; d++)
		for (size_t i = 0; i < h->list[kind][d].count; i++)
			if (d == 0 || !jid_list_has(&h->list[kind][0], h->list[kind][d].item[i]))
				json_array_append_new(list, json_string(h->list[kind][d].item[i]));
	sterna_command_result(c, json_pack("{s:o}", kind == BLACK ? "blacklistjids" : "whitelistjids", list));
	return STERNA_DONE;
}

static enum sterna_verdict on_lists_show(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the lists could not be read");
	take_rows(c, rows);
	return show(c);
}

static enum sterna_verdict current(struct sterna_call *c, int kind)
{
	const struct access_worker *w = sterna_worker_slot(c);

	if (sterna_host(c) == NULL)
		return STERNA_DONE;
	sterna_set_data(c, (void *)(intptr_t)kind);
	return w->loaded ? show(c) : sterna_read(c, on_lists_show, &load);
}

static enum sterna_verdict current_black(struct sterna_call *c)
{
	return current(c, BLACK);
}

static enum sterna_verdict current_white(struct sterna_call *c)
{
	return current(c, WHITE);
}

static const struct sterna_field edit_black_fields[] = {
	{ "blacklistjids", STERNA_FIELD_JIDS, false, "The blacklist", NULL }, { 0 } };
static const struct sterna_field add_black_fields[] = {
	{ "blacklistjids", STERNA_FIELD_JIDS, true, "Add to the blacklist", NULL }, { 0 } };
static const struct sterna_field edit_white_fields[] = {
	{ "whitelistjids", STERNA_FIELD_JIDS, false, "The whitelist", NULL }, { 0 } };
static const struct sterna_field add_white_fields[] = {
	{ "whitelistjids", STERNA_FIELD_JIDS, true, "Add to the whitelist", NULL }, { 0 } };

#define COMMAND(name_, node_, fields_, summary_, ...) \
	{ .name = name_, .node = ADMIN_NODE(node_), .fields = fields_, .summary = summary_, .place = STERNA_ON_WORKERS, \
	  __VA_ARGS__ }
#define KINDS (STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ)

STERNA_MODULE(access, .spec = "XEP-0133 1.3.1", .summary = "Black and white lists of the hosts",
	.options = options, .config_size = sizeof(struct access_config), .worker_size = sizeof(struct access_worker),
	.hooks = (const struct sterna_hook[]){ 
		{ STERNA_OUT_POLICY, on_out, NULL, KINDS, STERNA_HOOK_RESTS },
		{ STERNA_IN_POLICY, on_in, NULL, KINDS, STERNA_HOOK_RESTS }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_WORKER_ENDED, on_worker_end }, { 0 } },
	.commands = (const struct sterna_command[]){
		COMMAND("blacklist add-in", "add-to-blacklist-in", add_black_fields, "Add to Blacklist, Inbound", .run = add_black_in),
		COMMAND("blacklist add-out", "add-to-blacklist-out", add_black_fields, "Add to Blacklist, Outbound",
			.run = add_black_out),
		COMMAND("blacklist edit", "edit-blacklist", edit_black_fields, "Edit Blacklist", .run = edit_black,
			.current = current_black),
		COMMAND("whitelist add", "add-to-whitelist", add_white_fields, "Add to Whitelist", .run = add_white),
		COMMAND("whitelist add-in", "add-to-whitelist-in", add_white_fields, "Add to Whitelist, Inbound", .run = add_white_in),
		COMMAND("whitelist add-out", "add-to-whitelist-out", add_white_fields, "Add to Whitelist, Outbound",
			.run = add_white_out),
		COMMAND("whitelist edit", "edit-whitelist", edit_white_fields, "Edit Whitelist", .run = edit_white,
			.current = current_white),
		{ 0 } });
