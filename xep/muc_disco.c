/* XEP-0045 §6, §7.12, §18.1.1: what the service and its rooms tell those who ask - features, rooms that can be found,
 * what a room is like, who is inside. Part of the module "muc"; see muc.h. */
#include <stdio.h>
#include <string.h>
#include "xep/muc.h"

static const struct db_stmt rooms_page = {
	.name = "muc_rooms_page", .params = "tti", .columns = "tt",
	.sql = "SELECT room, name FROM muc_room WHERE host = $1 AND listed = 1 AND room > $2 ORDER BY room LIMIT $3",
};
static const struct db_stmt rooms_back = {
	.name = "muc_rooms_back", .params = "tti", .columns = "tt",
	.sql = "SELECT room, name FROM muc_room WHERE host = $1 AND listed = 1 AND (room < $2 OR $2 = '') "
	       "ORDER BY room DESC LIMIT $3",
};

static void add_features(struct sterna_elem *query, const char *const *features)
{
	for (; *features != NULL; features++)
		sterna_attr(sterna_add(query, "feature", NULL), "var", *features);
}

static void add_identity(struct sterna_elem *query, const char *name)
{
	struct sterna_elem *i = sterna_add(query, "identity", NULL);

	sterna_attr(i, "category", "conference");
	sterna_attr(i, "type", "text");
	if (name != NULL)
		sterna_attr(i, "name", name);
}

/* --- the service --- */

static enum sterna_verdict service_info(struct sterna_call *c)
{
	static const char *const features[] = { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_MUC, NS_MUC "#stable_id",
		NS_PING, NS_RSM, NS_VCARD, NS_OCCUPANT_ID, NULL };
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_INFO);

	if (elem_attr(sterna_payload(c), "node") != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	add_identity(query, "Rooms");
	add_features(query, features);
	if (muc_options(c)->search != MUC_SEARCH_NOT)
		sterna_attr(sterna_add(query, "feature", NULL), "var", NS_SEARCH);
	return sterna_reply(c, query);
}

struct page {
	size_t max;
	bool backward, asked;
};

static enum sterna_verdict on_rooms(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct page *p = sterna_data(c);
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_ITEMS), *set;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	const size_t n = rows->count < p->max ? rows->count : p->max;

	for (size_t k = 0; k < n; k++) {
		const size_t i = p->backward ? n - 1 - k : k;
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "jid", rows->text[i * 2]);
		sterna_attr(item, "name", rows->text[i * 2 + 1] != NULL ? rows->text[i * 2 + 1] : rows->text[i * 2]);
	}
	if (!p->asked && rows->count <= n)
		return sterna_reply(c, query);
	set = sterna_add(query, "set", NS_RSM);
	if (n > 0) {
		sterna_text(set, "first", rows->text[(p->backward ? n - 1 : 0) * 2]);
		sterna_text(set, "last", rows->text[(p->backward ? 0 : n - 1) * 2]);
	}
	return sterna_reply(c, query);
}

static bool read_max(struct sterna_call *c, const struct sterna_elem *set, size_t *max)
{
	const char *text = set != NULL ? sterna_child_text(set, "max") : NULL;
	size_t n = 0;

	*max = muc_options(c)->max_page;
	if (text == NULL)
		return true;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || n > 1000000)
			return false;
		n = n * 10 + (size_t)(*p - '0');
	}
	if (*text != '\0' && n < *max)
		*max = n;
	return *text != '\0';
}

static enum sterna_verdict service_items(struct sterna_call *c)
{
	const struct sterna_elem *set = elem_child(sterna_payload(c), "set", NS_RSM);
	const char *after = set != NULL ? sterna_child_text(set, "after") : NULL,
		*before = set != NULL ? sterna_child_text(set, "before") : NULL;
	struct page *p = sterna_alloc(c, sizeof *p);

	if (elem_attr(sterna_payload(c), "node") != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (!read_max(c, set, &p->max))
		return sterna_reject(c, STERNA_BAD_REQUEST, "max is a number");
	p->asked = set != NULL;
	p->backward = before != NULL && after == NULL;
	sterna_set_data(c, p);
	return sterna_read(c, on_rooms, p->backward ? &rooms_back : &rooms_page, jid_domain(sterna_to(c)),
		p->backward ? before : after != NULL ? after : "", (int64_t)p->max + 1);
}

/* --- a room --- */

static void info_number(struct sterna_elem *form, const char *var, const char *label, size_t n)
{
	char text[24];

	snprintf(text, sizeof text, "%zu", n);
	sterna_attr(sterna_form_field(form, var, "text-single", text), "label", label);
}

static void info_text(struct sterna_elem *form, const char *var, const char *type, const char *label, const char *text)
{
	if (text != NULL)
		sterna_attr(sterna_form_field(form, var, type, text), "label", label);
}

/* XEP-0502: messages per hour, of the hours that are over, up to a day back. */
static void info_activity(struct sterna_elem *form, const struct muc_room *room)
{
	unsigned long long n = 0;
	char text[32];

	for (unsigned i = 1; i < MUC_HOURS; i++)
		n += room->spoken[i];
	snprintf(text, sizeof text, "%llu.%02llu", n / 24, n % 24 * 100 / 24);
	info_text(form, "{urn:xmpp:muc-activity}message-activity", "text-single", "Messages per hour", text);
}

/* §6.4: muc#roominfo; the occupants' number, not who they are. */
static void add_roominfo(const struct muc_room *room, struct sterna_elem *query)
{
	const struct muc_config *cfg = &room->cfg;
	struct sterna_elem *form = sterna_form(query, "result", NS_MUC "#roominfo");

	info_text(form, "muc#roominfo_description", "text-single", "Description", cfg->description);
	info_text(form, "muc#roominfo_lang", "text-single", "Language", cfg->lang);
	info_text(form, "muc#roominfo_contactjid", "jid-multi", "Contact", cfg->contact);
	info_text(form, "muc#roominfo_pubsub", "text-single", "Associated node", cfg->pubsub);
	if (room->subject != NULL)
		info_text(form, "muc#roominfo_subject", "text-single", "Subject",
			sterna_child_text(sterna_shared_elem(room->subject), "subject"));
	info_text(form, "muc#roominfo_subjectmod", "boolean", "Participants may change the subject",
		cfg->change_subject ? "1" : "0");
	info_text(form, "muc#roomconfig_changesubject", "boolean", "Participants may change the subject",
		cfg->change_subject ? "1" : "0");
	info_number(form, "muc#roominfo_occupants", "Number of occupants", room->occupants.count);
	info_number(form, "muc#maxhistoryfetch", "Most messages of the past", cfg->max_history);
	if (cfg->slow_mode > 0)
		info_number(form, "muc#roominfo_slow_mode_duration", "Seconds between two messages", cfg->slow_mode);
	if (cfg->persistent && cfg->public && !cfg->password_protected && !cfg->members_only)
		info_activity(form, room);
	if (room->photo_hash != NULL)
		info_text(form, "muc#roominfo_avatarhash", "text-multi", "Avatar hash", room->photo_hash);
}

static void add_room_features(const struct muc_room *room, struct sterna_elem *query)
{
	const struct muc_config *cfg = &room->cfg;
	static const char *const always[] = { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_MUC, NS_MUC "#request", NS_MUC "#stable_id",
		NS_MUC "#self-ping-optimization", NS_OCCUPANT_ID, NS_SID, NS_PING, NS_VCARD, NS_HATS, NS_MAV,
		"http://jabber.org/protocol/commands",
		"urn:xmpp:message-moderate:0", "urn:xmpp:message-moderate:1", "urn:xmpp:message-retract:1", NULL };
	static const char *const archived[] = { NS_MAM, NS_MAM "#extended", NULL };
	const char *const kinds[] = {
		cfg->public ? "muc_public" : "muc_hidden",
		cfg->persistent ? "muc_persistent" : "muc_temporary",
		cfg->members_only ? "muc_membersonly" : "muc_open",
		cfg->moderated ? "muc_moderated" : "muc_unmoderated",
		cfg->whois == MUC_WHOIS_ANYONE ? "muc_nonanonymous" : "muc_semianonymous",
		cfg->password_protected ? "muc_passwordprotected" : "muc_unsecured", NULL };

	add_features(query, always);
	add_features(query, kinds);
	if (cfg->logging)
		add_features(query, archived);
	if (cfg->allow_register)
		sterna_attr(sterna_add(query, "feature", NULL), "var", NS_REGISTER);
}

/* §7.12: one's own reserved nick, and nobody else's. */
static enum sterna_verdict own_nick(struct sterna_call *c, const struct muc_room *room)
{
	const struct muc_member *m = muc_member(room, jid_bare(sterna_from(c)));
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_INFO);

	sterna_attr(query, "node", "x-roomuser-item");
	if (m != NULL && m->nick != NULL)
		add_identity(query, m->nick);
	return sterna_reply(c, query);
}

static enum sterna_verdict room_info(struct sterna_call *c, struct muc_room *room)
{
	const char *node = elem_attr(sterna_payload(c), "node");
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_INFO);

	if (room == NULL || (room->locked && muc_affiliation(room, sterna_from(c)) != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (node != NULL && strcmp(node, "x-roomuser-item") == 0)
		return own_nick(c, room);
	if (node != NULL && strcmp(node, NS_MUC "#traffic") == 0)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL); /* §18.1.1: nothing is discarded */
	if (node != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	muc_count_hours(room, sterna_now_us(c));
	add_identity(query, room->cfg.name != NULL ? room->cfg.name : jid_local(room->jid));
	add_room_features(room, query);
	add_roominfo(room, query);
	return sterna_reply(c, query);
}

/* §6.5: who is inside, for those who are, and where anyone could be: public rooms. */
static enum sterna_verdict room_items(struct sterna_call *c, struct muc_room *room)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_ITEMS);
	const struct sterna_elem *set = elem_child(sterna_payload(c), "set", NS_RSM);
	const char *node = elem_attr(sterna_payload(c), "node");
	const char *after = set != NULL ? sterna_child_text(set, "after") : NULL, *first = NULL, *last = NULL;
	const unsigned affiliation = room != NULL ? muc_affiliation(room, sterna_from(c)) : MUC_NONE;
	size_t max, n = 0;
	bool begun = after == NULL || *after == '\0';

	if (room == NULL || (room->locked && affiliation != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (!read_max(c, set, &max))
		return sterna_reject(c, STERNA_BAD_REQUEST, "max is a number");
	if (node != NULL && strcmp(node, "http://jabber.org/protocol/commands") == 0) {
		sterna_attr(query, "node", node);
		muc_add_commands(c, room, query);
		return sterna_reply(c, query);
	}
	if (node != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (muc_session_of(room, sterna_from(c)) == NULL && (affiliation == MUC_OUTCAST
		|| (affiliation < MUC_ADMIN && (!room->cfg.public || room->cfg.members_only))))
		return sterna_reply(c, query);
	for (size_t i = 0; i < room->count && n < max; i++) {
		const struct muc_occupant *o = room->list[i]->occupant;

		if (o->sessions != room->list[i])
			continue;
		if (!begun) {
			begun = strcmp(jid_full(o->address), after) == 0;
			continue;
		}
		sterna_attr(sterna_add(query, "item", NULL), "jid", jid_full(o->address));
		first = first != NULL ? first : jid_full(o->address);
		last = jid_full(o->address);
		n++;
	}
	if (!begun)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (set != NULL) {
		struct sterna_elem *out = sterna_add(query, "set", NS_RSM);

		if (first != NULL)
			sterna_text(out, "first", first);
		if (last != NULL)
			sterna_text(out, "last", last);
		sterna_text(out, "count", sterna_printf(c, "%zu", room->occupants.count));
	}
	return sterna_reply(c, query);
}

enum sterna_verdict muc_on_disco_info(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, room_info) : service_info(c);
}

enum sterna_verdict muc_on_disco_items(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, room_items) : service_items(c);
}
