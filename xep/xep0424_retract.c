/* XEP-0424 Message Retraction 0.4.2: what its author has retracted is a tombstone in the archives of both sides (§5); the
 * retraction itself is archived too. Rooms have archives of their own. */
#include <string.h>
#include "server/module.h"

#define NS_RETRACT "urn:xmpp:message-retract:1"

enum { LOOK_BACK = 200 };

struct retract_config {
	bool tombstones;
};
static const struct sterna_option options[] = {
	STERNA_OPT(struct retract_config, tombstones, "true", NULL,
		"take what was retracted out of the archives; false: it stays there, with the retraction after it"),
	{ 0 }
};

enum { M_TOMBSTONES };
static const struct sterna_metric metrics[] = {
	[M_TOMBSTONES] = { "sterna_retract_tombstones_total", "Archived messages that were retracted.", METRIC_COUNTER },
	{ 0 }
};

/* The newest with that id somewhere in the text; which it is, is read from the stanza. */
static const struct db_stmt find = {
	.name = "retract_find", .params = "ttti", .columns = "it",
	.pg = "SELECT id, stanza FROM archive WHERE owner = $1 AND peer = $2 AND strpos(stanza, $3) > 0"
		" ORDER BY id DESC LIMIT $4",
	.sqlite = "SELECT id, stanza FROM archive WHERE owner = $1 AND peer = $2 AND instr(stanza, $3) > 0"
		" ORDER BY id DESC LIMIT $4",
};
static const struct db_stmt bury = {
	.name = "retract_bury", .params = "tit",
	.sql = "UPDATE archive SET stanza = $3 WHERE owner = $1 AND id = $2",
};

static const char *retracted_id(struct sterna_call *c)
{
	const struct sterna_elem *e = elem_child(sterna_stanza(c), "retract", NS_RETRACT);

	return e != NULL ? elem_attr(e, "id") : NULL;
}

/* §6: only by the author, the same bare JID; and there is nothing to take away from a tombstone. */
static bool is_it(struct sterna_call *c, const struct sterna_elem *m, const char *id)
{
	const char *from = m != NULL ? elem_attr(m, "from") : NULL, *its = m != NULL ? elem_attr(m, "id") : NULL;
	struct jid *j = NULL;

	if (!elem_is(m, "message", NS_CLIENT) || from == NULL || its == NULL || strcmp(its, id) != 0
		|| elem_child(m, "retracted", NS_RETRACT) != NULL || elem_child(m, "retract", NS_RETRACT) != NULL
		|| jid_parse(from, strlen(from), &j) != STERNA_OK)
		return false;
	const bool same = jid_bare_equal(j, sterna_from(c));

	jid_unref(&j);
	return same;
}

/* §5: who wrote to whom, when, under which id; nothing of what. */
static const char *tombstone(struct sterna_call *c, const struct sterna_elem *m)
{
	static const char *const kept[] = { "from", "to", "type", "id" };
	struct sterna_elem *t = sterna_elem(c, "message", NS_CLIENT), *e;
	char stamp[STERNA_STAMP_LEN];

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (elem_attr(m, kept[i]) != NULL)
			sterna_attr(t, kept[i], elem_attr(m, kept[i]));
	e = sterna_add(t, "retracted", NS_RETRACT);
	if (sterna_id(c) != NULL)
		sterna_attr(e, "id", sterna_id(c));
	sterna_attr(e, "stamp", sterna_stamp(sterna_now(c), stamp));
	/* The archive's own id stays on it; other elements go. */
	elem_foreach(x, m)
		if (elem_is(x, "stanza-id", "urn:xmpp:sid:0") || elem_is(x, "occupant-id", "urn:xmpp:occupant-id:0"))
			sterna_add_copy(t, x);
	return sterna_xml(t);
}

static enum sterna_verdict on_found(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const char *id = retracted_id(c);

	for (size_t i = 0; rc == STERNA_OK && id != NULL && i < rows->count; i++) {
		struct sterna_elem *holder = sterna_elem(c, "holder", NS_RETRACT);

		sterna_add_xml(holder, rows->text[i * rows->columns + 1]);
		if (!is_it(c, sterna_child(holder), id))
			continue;
		sterna_write(c, &bury, sterna_owner(c), db_int(rows->db, i, 0), tombstone(c, sterna_child(holder)));
		sterna_audit(c, "sterna.message.retracted.v1", sterna_owner(c), (const struct sterna_datum[]){
			STERNA_PERSONAL("by", jid_bare(sterna_from(c))), STERNA_DATUM("archive", sterna_printf(c, "%lld",
				(long long)db_int(rows->db, i, 0))), STERNA_DATUM("kind", "author"), { 0 } });
		sterna_count(c, M_TOMBSTONES, 1);
		break;
	}
	return STERNA_NEXT; /* without a tombstone the message goes its way all the same */
}

static enum sterna_verdict take(struct sterna_call *c, const struct jid *peer)
{
	const struct retract_config *cfg = sterna_config(c);
	const char *id = retracted_id(c), *type = sterna_type(c);
	struct buf b = BUF_INIT;
	const char *text;

	if (id == NULL || id[0] == '\0' || peer == NULL || jid_local(sterna_owner_jid(c)) == NULL
		|| (strcmp(type, "chat") != 0 && strcmp(type, "normal") != 0))
		return STERNA_NEXT;
	sterna_mark(c, STERNA_ARCHIVE); /* §6: always stored */
	if (!cfg->tombstones)
		return STERNA_NEXT;
	xml_escape_attr(&b, id, strlen(id)); /* as it stands in the stored text */
	text = sterna_printf(c, "%s", buf_str(&b));
	buf_release(&b);
	return sterna_read(c, on_found, &find, sterna_owner(c), jid_bare(peer), text, (int64_t)LOOK_BACK);
}

static enum sterna_verdict on_out(struct sterna_call *c)
{
	return take(c, sterna_to(c));
}

static enum sterna_verdict on_in(struct sterna_call *c)
{
	return sterna_is_own(c) ? STERNA_NEXT : take(c, sterna_from(c));
}

STERNA_MODULE(retract, .spec = "XEP-0424 0.4.2", .summary = "Message Retraction",
	.options = options, .config_size = sizeof(struct retract_config), .metrics = metrics,
	.features = (const struct sterna_feature[]){
		{ NS_RETRACT, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { NS_RETRACT "#tombstone", STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_STORE, on_out, NULL, STERNA_MESSAGE }, { STERNA_IN_STORE, on_in, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } });
