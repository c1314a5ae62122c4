/* XEP-0492 in XEP-0357: what the user has said of a room, in its bookmark (XEP-0402), decides whether it wakes a device. Part
 * of the module "push"; see xep0357_push.h.
 *
 * Who asks to be woken is taken for a phone: of the settings that one holds which a phone would follow (§3). Where the
 * server cannot know (an encrypted message, a nick that the bookmark does not name), the device is woken. */
#include <stdlib.h>
#include <string.h>
#include "xep/text.h"
#include "xep/xep0357_push.h"

#define NS_BOOKMARKS "urn:xmpp:bookmarks:1"
#define NS_SETTINGS "urn:xmpp:notification-settings:"

enum when { WHEN_ALWAYS, WHEN_MENTIONED, WHEN_NEVER };
struct push_setting {
	char *room;                          /* bare */
	char *nick;                          /* as it is compared; or NULL */
	enum when when;
};

static const struct db_stmt get_settings = {
	.name = "push_settings", .params = "t", .columns = "tt",
	.sql = "SELECT id, payload FROM pubsub_item WHERE owner = $1 AND node = 'urn:xmpp:bookmarks:1'"
		" AND payload LIKE '%urn:xmpp:notification-settings:%'",
};

/* --- the list --- */

static void forget(struct push_account *a, const char *room)
{
	for (size_t i = 0; i < a->setting_count; i++)
		if (strcmp(a->settings[i].room, room) == 0) {
			free(a->settings[i].room);
			free(a->settings[i].nick);
			a->settings[i] = a->settings[--a->setting_count];
			return;
		}
}

void push_forget_settings(struct push_account *a)
{
	while (a->setting_count > 0)
		forget(a, a->settings[0].room);
	free(a->settings);
	a->settings = NULL;
}

/* §3: the most specific element that holds for a phone; none: always. */
static enum when when_of(const struct sterna_elem *notify)
{
	static const char *const names[] = { "always", "on-mention", "never" };
	enum when when = WHEN_ALWAYS;
	unsigned best = 0;

	elem_foreach(e, notify) {
		const char *category = elem_attr(e, "identity-category"), *type = elem_attr(e, "identity-type");
		unsigned rank = 1;

		if (category != NULL && (strcmp(category, "client") != 0 || (type != NULL && strcmp(type, "phone") != 0)))
			continue;
		if (category != NULL)
			rank = type != NULL ? 3 : 2;
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			if (strcmp(e->name, names[i]) == 0 && rank > best) {
				when = (enum when)i;
				best = rank;
			}
	}
	return when;
}

static const struct sterna_elem *notify_of(const struct sterna_elem *conference)
{
	const struct sterna_elem *extensions = elem_is(conference, "conference", NS_BOOKMARKS)
		? elem_child(conference, "extensions", NULL) : NULL;

	for (const struct sterna_elem *e = extensions != NULL ? elem_first(extensions) : NULL; e != NULL; e = elem_next(e))
		if (strcmp(e->name, "notify") == 0 && strncmp(e->ns, NS_SETTINGS, sizeof NS_SETTINGS - 1) == 0)
			return e;
	return NULL;
}

static void set(struct push_account *a, const char *room, const struct sterna_elem *conference)
{
	const struct sterna_elem *notify = notify_of(conference);
	const enum when when = notify != NULL ? when_of(notify) : WHEN_ALWAYS;
	const char *nick;

	forget(a, room);
	if (when == WHEN_ALWAYS)
		return;
	nick = sterna_child_text(conference, "nick");
	a->settings = xrealloc(a->settings, (a->setting_count + 1) * sizeof *a->settings);
	a->settings[a->setting_count++] = (struct push_setting){ xstrdup(room),
		nick != NULL && *nick != '\0' ? fold_text(nick, strlen(nick)) : NULL, when };
}

void push_set_setting(struct sterna_call *c, const char *room, const char *xml)
{
	struct sterna_elem *holder = sterna_elem(c, "holder", NS_BOOKMARKS);

	if (xml != NULL)
		sterna_add_xml(holder, xml);
	if (sterna_child(holder) != NULL)
		set(sterna_account_slot(c), room, sterna_child(holder));
}

static enum sterna_verdict on_rows(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	sterna_fn *const *then = sterna_data(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	for (size_t i = 0; i < rows->count; i++)
		push_set_setting(c, rows->text[i * 2], rows->text[i * 2 + 1]);
	return (*then)(c);
}

enum sterna_verdict push_read_settings(struct sterna_call *c, sterna_fn *then)
{
	sterna_fn **data = sterna_alloc(c, sizeof *data);

	*data = then;
	sterna_set_data(c, data);
	push_forget_settings(sterna_account_slot(c));
	return sterna_read(c, on_rows, &get_settings, sterna_owner(c));
}

void push_on_changed(struct sterna_call *c, void *arg)
{
	const struct pep_change *change = arg;
	struct push_account *a = sterna_account_slot(c);

	if (a == NULL || a->count == 0 || strcmp(change->node, NS_BOOKMARKS) != 0)
		return; /* they are read when a device asks to be woken */
	if (change->id == NULL)
		push_forget_settings(a);
	else if (change->published && change->payload != NULL)
		set(a, change->id, change->payload);
	else
		forget(a, change->id);
}

/* --- a message of a room --- */

static bool has(const char *text, const char *nick)
{
	char *folded = fold_text(text, strlen(text));
	const bool found = strstr(folded, nick) != NULL;

	free(folded);
	return found;
}

/* XEP-0461, XEP-0372, or the nick in the text. */
static bool is_mentioned(struct sterna_call *c, const struct push_setting *s)
{
	const struct sterna_elem *m = sterna_stanza(c), *body = elem_child(m, "body", NULL);

	elem_foreach(e, m) {
		const char *uri = elem_attr(e, "uri"), *to = elem_attr(e, "to");

		if (elem_is(e, "reply", "urn:xmpp:reply:0") && to != NULL && has(to, s->nick))
			return true;
		if (elem_is(e, "reference", "urn:xmpp:reference:0") && uri != NULL
			&& (has(uri, s->nick) || strstr(uri, sterna_owner(c)) != NULL))
			return true;
	}
	return body != NULL && has(text_of(c, body), s->nick);
}

bool push_is_wanted(struct sterna_call *c, bool encrypted)
{
	const struct push_account *a = sterna_account_slot(c);
	const char *room = jid_bare(sterna_from(c));

	for (size_t i = 0; i < a->setting_count; i++) {
		const struct push_setting *s = &a->settings[i];

		if (strcmp(s->room, room) == 0)
			return s->when == WHEN_MENTIONED && (encrypted || s->nick == NULL || is_mentioned(c, s));
	}
	return true;
}
