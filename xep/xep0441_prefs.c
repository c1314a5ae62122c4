/* XEP-0441 Message Archive Management Preferences 0.2.0: part of the module "mam". */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "xep/text.h"
#include "xep/xep0313_mam.h"

static const char *const modes[] = { [MAM_ALWAYS] = "always", [MAM_NEVER] = "never", [MAM_ROSTER] = "roster" };

const struct db_stmt mam_prefs_load = {
	.name = "mam_prefs_load", .params = "t", .columns = "ttt",
	.sql = "SELECT mode, always, never FROM archive_prefs WHERE owner = $1",
};
static const struct db_stmt put = {
	.name = "mam_prefs_put", .params = "tttt",
	.sql = "INSERT INTO archive_prefs (owner, mode, always, never) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (owner) DO UPDATE SET mode = excluded.mode, always = excluded.always, never = excluded.never",
};
static const struct db_stmt forget = {
	.name = "mam_prefs_forget", .params = "t",
	.sql = "DELETE FROM archive_prefs WHERE owner = $1",
};

static bool mode_of(const char *text, enum mam_mode *out)
{
	for (unsigned i = 0; text != NULL && i < sizeof modes / sizeof *modes; i++)
		if (strcmp(modes[i], text) == 0) {
			*out = (enum mam_mode)i;
			return true;
		}
	return false;
}

/* --- rows: lists are JSON arrays --- */

static void list_load(struct jid_list *l, const char *text)
{
	json_t *array = text != NULL ? json_loads(text, 0, NULL) : NULL, *item;
	size_t i;

	json_array_foreach(array, i, item)
		if (json_is_string(item))
			jid_list_add(l, json_string_value(item));
	json_decref(array);
}

static char *list_text(const struct jid_list *l)
{
	json_t *array = json_array();
	char *text;

	for (size_t i = 0; i < l->count; i++)
		json_array_append_new(array, json_string(l->item[i]));
	text = json_dumps(array, JSON_COMPACT);
	json_decref(array);
	return text;
}

void mam_prefs_rows(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct mam_account *a = sterna_account_slot(c);

	if (rows->count == 0 || !mode_of(rows->text[0], &a->mode))
		return;
	a->has_prefs = true;
	list_load(&a->always, rows->text[1]);
	list_load(&a->never, rows->text[2]);
}

void mam_prefs_unloaded(struct sterna_call *c)
{
	struct mam_account *a = sterna_account_slot(c);

	jid_list_clear(&a->always);
	jid_list_clear(&a->never);
}

void mam_prefs_deleted(struct sterna_call *c)
{
	sterna_write(c, &forget, sterna_owner(c));
}

/* --- use --- */

static enum mam_mode mode_now(struct sterna_call *c, const struct mam_account *a)
{
	const struct mam_config *cfg = sterna_config(c);

	return a->has_prefs ? a->mode : (enum mam_mode)cfg->default_mode;
}

/* §4: an item with resource is compared with the whole address, one without with the bare one. */
static bool is_listed(const struct jid_list *l, const struct jid *j)
{
	return l->count > 0 && (jid_list_has(l, jid_full(j)) || jid_list_has(l, jid_bare(j)));
}

bool mam_prefs_allow(struct sterna_call *c, const struct jid *peer)
{
	const struct mam_account *a = sterna_account_slot(c);

	if (a == NULL)
		return false;
	if (is_listed(&a->never, peer))
		return false;
	if (is_listed(&a->always, peer))
		return true;
	switch (mode_now(c, a)) {
	case MAM_NEVER:
		return false;
	case MAM_ROSTER:
		return sterna_in_roster(c, peer);
	default:
		return true;
	}
}

/* --- the protocol: §3 --- */

static void add_list(struct sterna_elem *prefs, const char *name, const struct jid_list *l)
{
	struct sterna_elem *e = sterna_add(prefs, name, NULL);

	for (size_t i = 0; i < l->count; i++)
		sterna_text(e, "jid", l->item[i]);
}

static enum sterna_verdict answer(struct sterna_call *c)
{
	const struct mam_account *a = sterna_account_slot(c);
	struct sterna_elem *prefs = sterna_elem(c, "prefs", NS_MAM);

	sterna_attr(prefs, "default", modes[mode_now(c, a)]);
	add_list(prefs, "always", &a->always);
	add_list(prefs, "never", &a->never);
	return sterna_reply(c, prefs);
}

enum sterna_verdict mam_on_prefs_get(struct sterna_call *c)
{
	return answer(c);
}

/* The JIDs of <always/> or <never/>; an absent one is an empty list. false: not a JID. */
static bool list_read(struct sterna_call *c, const struct sterna_elem *e, struct jid_list *l)
{
	if (e == NULL)
		return true;
	elem_foreach(item, e) {
		const char *text = text_of(c, item);
		struct jid *j = NULL;

		if (strcmp(item->name, "jid") != 0)
			continue;
		if (jid_parse(text, strlen(text), &j) != STERNA_OK)
			return false;
		jid_list_add(l, jid_full(j));
		jid_unref(&j);
	}
	return true;
}

static void save(struct sterna_call *c, const struct mam_account *a)
{
	char *always = list_text(&a->always), *never = list_text(&a->never);

	sterna_write(c, &put, sterna_owner(c), modes[a->mode], always, never);
	free(always);
	free(never);
}

enum sterna_verdict mam_on_prefs_set(struct sterna_call *c)
{
	const struct mam_config *cfg = sterna_config(c);
	struct mam_account *a = sterna_account_slot(c), now = { .has_prefs = true };
	const struct sterna_elem *prefs = sterna_payload(c);
	enum sterna_condition refused = 0;

	if (cfg->enforce)
		return sterna_reject(c, STERNA_NOT_ALLOWED, "this server archives by its own rules");
	if (!mode_of(elem_attr(prefs, "default"), &now.mode))
		return sterna_reject(c, STERNA_BAD_REQUEST, "default is always, never or roster");
	if (!list_read(c, elem_child(prefs, "always", NULL), &now.always)
		|| !list_read(c, elem_child(prefs, "never", NULL), &now.never))
		refused = STERNA_JID_MALFORMED;
	else if (now.always.count + now.never.count > cfg->max_prefs)
		refused = STERNA_RESOURCE_CONSTRAINT;
	if (refused != 0) {
		jid_list_clear(&now.always);
		jid_list_clear(&now.never);
		return sterna_reject(c, refused, NULL);
	}
	mam_prefs_unloaded(c);
	*a = now;
	save(c, a);
	return answer(c);
}
