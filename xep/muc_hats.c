/* XEP-0317: hats, and the ad-hoc commands (XEP-0050) by which admins make and give them. A hat that exists is a row
 * without a JID; one that is worn has the JID of who wears it. Part of the module "muc"; see muc.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

#define NS_COMMANDS "http://jabber.org/protocol/commands"
#define NS_HAT_COMMANDS "urn:xmpp:hats:commands"

enum { MAX_HATS = 100, MAX_TITLE = 256, MAX_URI = 512 };

static struct muc_hat *find(struct muc_room *room, const char *jid, const char *uri)
{
	for (size_t i = 0; i < room->hat_count; i++)
		if (strcmp(room->hats[i].jid, jid) == 0 && strcmp(room->hats[i].uri, uri) == 0)
			return &room->hats[i];
	return NULL;
}

static size_t count(const struct muc_room *room, bool worn)
{
	size_t n = 0;

	for (size_t i = 0; i < room->hat_count; i++)
		n += (*room->hats[i].jid != '\0') == worn;
	return n;
}

static void put(struct sterna_call *c, struct muc_room *room, const char *jid, const char *uri, const char *title)
{
	struct muc_hat *h = find(room, jid, uri);

	if (h == NULL) {
		room->hats = xrealloc(room->hats, (room->hat_count + 1) * sizeof *room->hats);
		h = &room->hats[room->hat_count++];
		*h = (struct muc_hat){ xstrdup(jid), xstrdup(uri), xstrdup(title) };
	} else {
		char *was = h->title;

		h->title = xstrdup(title);
		free(was);
	}
	muc_store_hat(c, room, h, true);
}

static void drop(struct sterna_call *c, struct muc_room *room, struct muc_hat *h)
{
	muc_store_hat(c, room, h, false);
	free(h->jid);
	free(h->uri);
	free(h->title);
	*h = room->hats[--room->hat_count];
}

/* Whoever wears something else now is shown anew. bare NULL: everyone. */
static void show(struct sterna_call *c, struct muc_room *room, const char *bare)
{
	static const struct muc_say nothing = { 0 };
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		struct muc_occupant *o = e->value;

		if (bare != NULL && strcmp(jid_full(o->bare), bare) != 0)
			continue;
		muc_forget_shown(o);
		muc_show(c, room, o, &nothing);
	}
}

/* --- the commands: each asks with a form, or does what a form says --- */

struct command {
	const char *node, *title;
	bool names_hat, names_who, makes;    /* which fields its form has */
	enum sterna_verdict (*run)(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form);
};

static enum sterna_verdict completed(struct sterna_call *c)
{
	struct sterna_elem *command = sterna_elem(c, "command", NS_COMMANDS);

	sterna_attr(command, "node", elem_attr(sterna_payload(c), "node"));
	sterna_attr(command, "sessionid", elem_attr(sterna_payload(c), "sessionid"));
	sterna_attr(command, "status", "completed");
	return sterna_reply(c, command);
}

static enum sterna_verdict create(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	static const unsigned changed[] = { 104 };
	const char *uri = sterna_form_value(form, "hats#uri"), *title = sterna_form_value(form, "hats#title");

	if (muc_is_empty(uri) || muc_is_empty(title) || strlen(uri) > MAX_URI || strlen(title) > MAX_TITLE)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "a hat has a URI and a title");
	if (find(room, "", uri) == NULL && count(room, false) >= MAX_HATS)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too many hats");
	put(c, room, "", uri, title);
	for (size_t i = 0; i < room->hat_count; i++)
		if (strcmp(room->hats[i].uri, uri) == 0 && strcmp(room->hats[i].title, title) != 0)
			put(c, room, room->hats[i].jid, uri, title);
	muc_tell_codes(c, room, changed, 1);
	show(c, room, NULL);
	return completed(c);
}

static enum sterna_verdict destroy(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	static const unsigned changed[] = { 104 };
	const char *uri = sterna_form_value(form, "hats#uri");

	if (uri == NULL)
		uri = sterna_form_value(form, "hat"); /* as the standard's own form has it */
	if (uri == NULL || find(room, "", uri) == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such hat");
	for (size_t i = room->hat_count; i-- > 0;)
		if (strcmp(room->hats[i].uri, uri) == 0)
			drop(c, room, &room->hats[i]);
	muc_tell_codes(c, room, changed, 1);
	show(c, room, NULL);
	return completed(c);
}

static const char *who(struct sterna_call *c, const struct sterna_elem *form)
{
	const char *text = sterna_form_value(form, "hats#jid"), *bare = NULL;
	struct jid *j = NULL;

	if (text != NULL && jid_parse(text, strlen(text), &j) == STERNA_OK && jid_local(j) != NULL)
		bare = sterna_printf(c, "%s", jid_bare(j));
	jid_unref(&j);
	return bare;
}

static enum sterna_verdict assign(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	const char *uri = sterna_form_value(form, "hats#uri"), *bare = who(c, form);
	const struct muc_hat *hat = uri != NULL ? find(room, "", uri) : NULL;

	if (bare == NULL)
		return sterna_reject(c, STERNA_JID_MALFORMED, "who is to wear it");
	if (hat == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such hat");
	if (find(room, bare, uri) == NULL && count(room, true) >= muc_options(c)->affiliations)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too many wear hats");
	put(c, room, bare, uri, sterna_printf(c, "%s", hat->title));
	show(c, room, bare);
	return completed(c);
}

static enum sterna_verdict unassign(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	const char *uri = sterna_form_value(form, "hats#uri"), *bare = who(c, form);
	struct muc_hat *hat = uri != NULL && bare != NULL ? find(room, bare, uri) : NULL;

	if (hat == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "nobody of that address wears it");
	drop(c, room, hat);
	show(c, room, bare);
	return completed(c);
}

static enum sterna_verdict list(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	struct sterna_elem *command = sterna_elem(c, "command", NS_COMMANDS), *x, *reported;

	(void)form;
	sterna_attr(command, "node", elem_attr(sterna_payload(c), "node"));
	sterna_attr(command, "status", "completed");
	x = sterna_form(command, "result", NS_HAT_COMMANDS);
	reported = sterna_add(x, "reported", NULL);
	sterna_form_field(reported, "hats#title", NULL, NULL);
	sterna_form_field(reported, "hats#uri", NULL, NULL);
	for (size_t i = 0; i < room->hat_count; i++) {
		if (*room->hats[i].jid != '\0')
			continue;
		struct sterna_elem *item = sterna_add(x, "item", NULL);

		sterna_form_field(item, "hats#title", NULL, room->hats[i].title);
		sterna_form_field(item, "hats#uri", NULL, room->hats[i].uri);
	}
	return sterna_reply(c, command);
}

static const struct command commands[] = {
	{ NS_HAT_COMMANDS ":create", "Create a hat", false, false, true, create },
	{ NS_HAT_COMMANDS ":destroy", "Destroy a hat", true, false, false, destroy },
	{ NS_HAT_COMMANDS ":assign", "Assign a hat", true, true, false, assign },
	{ NS_HAT_COMMANDS ":unassign", "Remove a hat", true, true, false, unassign },
	{ NS_HAT_COMMANDS ":list", "List hats", false, false, false, list },
};

static void require(struct sterna_elem *field, const char *label)
{
	sterna_attr(field, "label", label);
	sterna_add(field, "required", NULL);
}

static enum sterna_verdict ask(struct sterna_call *c, const struct muc_room *room, const struct command *what)
{
	struct sterna_elem *command = sterna_elem(c, "command", NS_COMMANDS), *form, *f;

	sterna_attr(command, "node", what->node);
	sterna_attr(command, "sessionid", sterna_printf(c, "%llx", (unsigned long long)sterna_trace(c)));
	sterna_attr(command, "status", "executing");
	form = sterna_form(command, "form", NS_HAT_COMMANDS);
	sterna_text(form, "title", what->title);
	if (what->names_who)
		require(sterna_form_field(form, "hats#jid", "jid-single", NULL), "User address");
	if (what->makes) {
		require(sterna_form_field(form, "hats#title", "text-single", NULL), "Hat title");
		require(sterna_form_field(form, "hats#uri", "text-single", NULL), "Hat URI");
	}
	if (what->names_hat) {
		f = sterna_form_field(form, "hats#uri", "list-single", NULL);
		sterna_attr(f, "label", "The hat");
		for (size_t i = 0; i < room->hat_count; i++) {
			if (*room->hats[i].jid != '\0')
				continue;
			struct sterna_elem *option = sterna_add(f, "option", NULL);

			sterna_attr(option, "label", room->hats[i].title);
			sterna_text(option, "value", room->hats[i].uri);
		}
	}
	return sterna_reply(c, command);
}

static enum sterna_verdict on_command(struct sterna_call *c, struct muc_room *room)
{
	const struct sterna_elem *command = sterna_payload(c), *form = elem_child(command, "x", NS_DATA);
	const char *node = elem_attr(command, "node"), *action = elem_attr(command, "action");
	const unsigned affiliation = room != NULL ? muc_affiliation(room, sterna_from(c)) : MUC_NONE;

	if (room == NULL || node == NULL || (room->locked && affiliation != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(commands[i].node, node) != 0)
			continue;
		/* Which hats there are, those inside may know: they see them. */
		if (affiliation < MUC_ADMIN && !(commands[i].run == list && muc_session_of(room, sterna_from(c)) != NULL))
			return sterna_reject(c, STERNA_FORBIDDEN, "admins may");
		if (action != NULL && strcmp(action, "cancel") == 0)
			return completed(c);
		return form != NULL || commands[i].run == list ? commands[i].run(c, room, form)
			: ask(c, room, &commands[i]);
	}
	return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such command");
}

enum sterna_verdict muc_on_command(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, on_command)
		: sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
}

/** disco#items of the commands' node: those that the asker may run. */
void muc_add_commands(struct sterna_call *c, const struct muc_room *room, struct sterna_elem *query)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands
		&& muc_affiliation(room, sterna_from(c)) >= MUC_ADMIN; i++) {
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "jid", jid_full(room->jid));
		sterna_attr(item, "node", commands[i].node);
		sterna_attr(item, "name", commands[i].title);
	}
}
