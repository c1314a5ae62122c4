/* muc.h - rooms (XEP-0045): what the files of the module "muc" share.
 *
 * A room belongs to the worker that owns its bare JID, and lies in that worker's slot. Stanzas for one room come one
 * by one (its lane), so a handler that waits for a read finds the room as it left it, but for what it did itself.
 * What must survive is in the database: configuration, affiliations, who is inside, the subject, the key of the
 * occupants' ids. Everything that a room tells its occupants is sent at once and in order (sterna_send_many());
 * results of requests, and acknowledgements, wait for the commit.
 *
 * An *occupant* is a nick with a role, of one bare JID; its *sessions* are the full JIDs that share the nick.
 * Threads: those of the call. */
#ifndef XEP_MUC_H
#define XEP_MUC_H

#include "server/module.h"
#include "xep/mam.h"

#define NS_MUC "http://jabber.org/protocol/muc"
#define NS_MUC_USER NS_MUC "#user"
#define NS_MUC_ADMIN NS_MUC "#admin"
#define NS_MUC_OWNER NS_MUC "#owner"
#define NS_MUC_CONFIG NS_MUC "#roomconfig"
#define NS_MUC_REQUEST NS_MUC "#request"
#define NS_MUC_REGISTER NS_MUC "#register"
#define NS_REGISTER "jabber:iq:register"
#define NS_DATA "jabber:x:data"
#define NS_RSM "http://jabber.org/protocol/rsm"
#define NS_DELAY "urn:xmpp:delay"
#define NS_SID "urn:xmpp:sid:0"
#define NS_OCCUPANT_ID "urn:xmpp:occupant-id:0"
#define NS_MAV "urn:xmpp:muc:affiliations:1"
#define NS_HATS "urn:xmpp:hats:0"
#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_PING "urn:xmpp:ping"
#define NS_VCARD "vcard-temp"
#define NS_HINTS "urn:xmpp:hints"
#define NS_SEARCH "urn:xmpp:channel-search:0:search"

enum muc_affiliation { MUC_OUTCAST, MUC_NONE, MUC_MEMBER, MUC_ADMIN, MUC_OWNER };
enum muc_role { MUC_NO_ROLE, MUC_VISITOR, MUC_PARTICIPANT, MUC_MODERATOR };
extern const char *const muc_affiliations[], *const muc_roles[];  /* by value; then NULL */
bool muc_value(const char *const *names, const char *name, unsigned *out);

enum muc_create { MUC_CREATE_LOCAL, MUC_CREATE_ANYONE, MUC_CREATE_NOBODY };
enum muc_search { MUC_SEARCH_ALL, MUC_SEARCH_WORDS, MUC_SEARCH_NOT };

/** The module's options. */
struct muc_options {
	struct sterna_list hosts;
	unsigned create;
	unsigned rooms_per_user, occupants, sessions_per_nick, affiliations, nick_length, history, pending;
	struct sterna_size subject_size, text_size, presence_size, history_size, avatar_size;
	struct sterna_duration unload_after;
	bool public, persistent, members_only, moderated, archive, nonanonymous;
	unsigned page, max_page, search, search_rooms;
	struct sterna_size max_bytes;
};

/* --- configuration: muc_config.c --- */

enum muc_whois { MUC_WHOIS_MODERATORS, MUC_WHOIS_ANYONE };
enum muc_allow_pm { MUC_PM_ANYONE, MUC_PM_PARTICIPANTS, MUC_PM_MODERATORS, MUC_PM_NONE };

/** A room's configuration; texts are its own or NULL: muc_config_clear(). */
struct muc_config {
	char *name, *description, *lang, *password, *pubsub, *contact;
	bool public, persistent, moderated, members_only, password_protected, change_subject, allow_invites, logging,
		allow_register, visitor_nick;
	unsigned whois, allow_pm, max_users, max_history, slow_mode;
	unsigned broadcast;                  /* bits of enum muc_role: whose presence is shown */
	unsigned member_list;                /* bits of enum muc_role: who may get the list of members */
};
void muc_config_default(struct muc_config *cfg, const struct muc_options *o);
void muc_config_clear(struct muc_config *cfg);
char *muc_config_json(const struct muc_config *cfg);                           /**< new */
bool muc_config_parse(struct muc_config *cfg, const char *json);               /**< cfg holds defaults before */
/** As a form to be filled in. */
void muc_config_form(const struct muc_config *cfg, struct sterna_elem *form);
/** Names of the fields that differ, "muc#roomconfig_roomname …", for the audit; "" where none does. */
const char *muc_config_changes(struct sterna_call *c, const struct muc_config *before, const struct muc_config *after);
/** The form's fields over a copy of cfg; fields that are not known are passed over.
 *  @return NULL, with the new one in *out (to be cleared); or what is wrong with the form, static */
const char *muc_config_set(const struct muc_config *cfg, struct sterna_call *c, const struct sterna_elem *form,
	const struct muc_options *o, struct muc_config *out);

/* --- the room: muc_room.c --- */

struct muc_occupant;
struct muc_session {
	struct jid *jid;                     /* full */
	struct muc_occupant *occupant;
	struct muc_session *next;            /* of the occupant; the one heard last is the first */
	size_t index;                        /* in the room's list */
	bool restored;                       /* it was inside when the room was loaded: its stream was resumed */
	struct arena *arena;
	struct sterna_elem *presence;        /* what it sent, without what only the room may say; in the arena */
};
struct muc_occupant {
	char *key;                           /* the nick as it is compared (RFC 8266) */
	struct jid *address;                 /* room@service/nick */
	struct jid *bare;
	unsigned role;
	struct muc_session *sessions;
	char id[45];                         /* XEP-0421 */
	struct sterna_shared *shown[2];      /* its presence as it is sent now, without and with its JID; or NULL */
	int64_t spoke_us;                    /* slow mode */
};
/** What lasts about a person. */
struct muc_member {
	char *jid;                           /* bare, or a domain (bans) */
	unsigned affiliation;
	char *nick, *nick_key;               /* reserved, or NULL */
	char *reason;
};
struct muc_past {
	int64_t id;
	struct sterna_shared *message;       /* with <delay/> */
	size_t size;
	int64_t at_us;
	bool restored;                       /* said before the room was loaded */
};
struct muc_hat {
	char *jid, *uri, *title;             /* jid: bare; "" of the hat itself, which may be worn */
};
enum { MUC_HOURS = 25 };
struct muc_pending {                     /* an IQ that went from one occupant to another */
	char *id, *original;
	struct jid *asker, *asked;           /* real JIDs; asked: full or bare */
	struct jid *address;                 /* that it was sent to: room@service/nick */
	int64_t expires_us;
};
struct muc_room {
	struct jid *jid;
	struct muc_config cfg;
	struct map occupants;                /* key to struct muc_occupant */
	struct map sessions;                 /* full JID to struct muc_session */
	struct map members;                  /* bare JID to struct muc_member */
	struct map nicks;                    /* key to struct muc_member that has reserved it */
	struct muc_session **list;           /* all sessions, densely */
	size_t count, size;
	unsigned char key[32];               /* of XEP-0421's ids */
	struct sterna_shared *subject;       /* the message, without <delay/>; or NULL */
	int64_t subject_us;
	struct muc_past *past;               /* oldest first */
	size_t past_count, past_size, past_bytes;
	struct muc_pending *pending;
	size_t pending_count, pending_size;
	struct muc_hat *hats;
	size_t hat_count;
	char *vcard, *photo_hash;            /* XEP-0486 */
	int64_t created_us, touched_us;
	uint64_t version;                    /* of the affiliations */
	int64_t archive_from;                /* what is archived is newer than this id; older rows were another room's */
	unsigned spoken[MUC_HOURS];          /* messages of each of the last hours (XEP-0502) */
	int64_t hour;                        /* that the first of them counts, since 1970 */
	bool locked;                         /* §10.1: until its owner has configured it */
	bool stored, gone;
	unsigned busy;                       /* handlers that wait */
};
/** A handler that gets the room; NULL: there is none of that name. */
typedef enum sterna_verdict muc_fn(struct sterna_call *c, struct muc_room *room);

struct muc_worker {
	bool ready;
	struct map rooms;                    /* bare JID to struct muc_room */
};

/** Run fn with the room that the stanza is for, loaded if need be. */
enum sterna_verdict muc_enter(struct sterna_call *c, muc_fn *fn);
/** Every two seconds: rooms that nobody needs leave memory. At the end all do. */
void muc_on_tick(struct sterna_call *c);
void muc_on_worker_ended(struct sterna_call *c);
bool muc_ends_when_empty(const struct muc_room *room);
/** A handler waits for a read, and is through with the room after it. */
void muc_hold(struct muc_room *room);
enum sterna_verdict muc_let_go(struct sterna_call *c, struct muc_room *room, enum sterna_verdict v);
struct muc_room *muc_room_new(struct sterna_call *c, const struct jid *jid);
void muc_room_free(struct muc_room *room);
struct muc_occupant *muc_find(const struct muc_room *room, const char *nick);  /**< as a peer wrote it */
struct muc_session *muc_session_of(const struct muc_room *room, const struct jid *full);
/** The nick as it is compared. @return false: none that could be used */
bool muc_nick_key(const char *nick, char *out, size_t size);
#define MUC_KEY_SIZE 3072
unsigned muc_affiliation(const struct muc_room *room, const struct jid *who);
struct muc_member *muc_member(const struct muc_room *room, const char *bare);
size_t muc_count_members(const struct muc_room *room, unsigned affiliation);
/** A nick more; the room owns it. */
struct muc_occupant *muc_add_occupant(struct muc_room *room, const char *key, const struct jid *address,
	const struct jid *bare, unsigned role);
struct muc_session *muc_add_session(struct muc_room *room, struct muc_occupant *o, const struct jid *full);
/** Out of memory; the occupant too with its last session. @return whether the occupant has gone */
bool muc_drop_session(struct muc_room *room, struct muc_session *s);
void muc_forget_shown(struct muc_occupant *o);
void muc_rename(struct muc_room *room, struct muc_occupant *o, const char *key, const struct jid *address);
const char *muc_nick(const struct muc_occupant *o);
/** Is real JID of o for those with that role? */
bool muc_shows_jids(const struct muc_room *room, unsigned role);
unsigned muc_first_role(const struct muc_room *room, unsigned affiliation);
/** A room's options, this call's. */
static inline const struct muc_options *muc_options(struct sterna_call *c)
{
	return sterna_config(c);
}
bool muc_is_empty(const char *text);
/** Time goes on: hours that are over move up; of the rest nothing is known. */
void muc_count_hours(struct muc_room *room, int64_t now_us);
/** A copy that lives as long as the call. */
static inline struct sterna_elem *muc_copy(struct sterna_call *c, const struct sterna_elem *e)
{
	return elem_copy(sterna_elem(c, "copy", NS_CLIENT)->arena, e);
}

/* --- storage: muc_store.c --- */

enum sterna_verdict muc_load(struct sterna_call *c, muc_fn *fn);
void muc_store_room(struct sterna_call *c, struct muc_room *room);
/** affiliation none and no nick: removed, from memory too. nick: as it is to be shown, NULL for none.
 *  @return STERNA_ELIMIT too many; STERNA_EEXISTS the nick is someone else's */
enum sterna_result muc_set_member(struct sterna_call *c, struct muc_room *room, const char *bare, unsigned affiliation,
	const char *nick, const char *reason);
void muc_store_session(struct sterna_call *c, struct muc_room *room, const struct muc_session *s);
void muc_unstore_session(struct sterna_call *c, struct muc_room *room, const struct jid *full);
void muc_store_hat(struct sterna_call *c, struct muc_room *room, const struct muc_hat *hat, bool there);
/** All of it, the archive too. cause, for the audit: "owner" or "empty"; reason: or NULL. */
void muc_unstore_room(struct sterna_call *c, struct muc_room *room, const char *cause, const char *reason);
/** How many rooms someone owns. */
extern const struct db_stmt muc_count_rooms;

/* --- presence: muc_presence.c --- */

/** What a presence says beside what everyone knows of the occupant. */
struct muc_say {
	bool unavailable;
	unsigned codes[6], count;            /* status codes for everyone; 110 is added where it belongs */
	unsigned own_codes[6], own_count;    /* for the occupant alone */
	const char *new_nick;
	const struct muc_occupant *actor;
	const char *actor_jid, *reason;
	const struct sterna_elem *payload;   /* in place of the last presence; or NULL */
	const struct sterna_elem *destroy;
	unsigned was_role;                   /* 0: as now */
	uint64_t since;                      /* XEP-0463: the version before this change; 0: none */
	const struct jid *asker;             /* whose presence it answers, with this id (§7.2.2); or NULL */
	const char *id;
};
/** To everyone inside who may see it, and to the occupant itself. */
void muc_show(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, const struct muc_say *say);
/** To everyone but the occupant. */
void muc_show_rest(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, const struct muc_say *say);
/** To one session of the occupant, as its own. */
void muc_show_own(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, const struct muc_session *s,
	const struct muc_say *say);
/** Everyone's presence to a session, but for its own nick's. */
void muc_show_others(struct sterna_call *c, struct muc_room *room, const struct muc_session *to);
/** Out of the room with all its sessions. o is gone. */
void muc_remove(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, struct muc_say *say);
/** One session leaves; others of the nick may stay. */
void muc_leave(struct sterna_call *c, struct muc_room *room, struct muc_session *s, struct muc_say *say);
/** That session cannot be reached: it leaves (333). */
void muc_lost(struct sterna_call *c, struct muc_room *room, const struct jid *full);
/** Keeps what a session sent, without what only the room says. */
void muc_keep_presence(struct muc_session *s, const struct sterna_elem *presence);
/** Children that only a room may write are taken out. */
void muc_clean(struct sterna_call *c, const struct muc_room *room, struct sterna_elem *stanza);
void muc_add_occupant_id(const struct muc_occupant *o, struct sterna_elem *stanza);
/** A message of the room to everyone inside (with status codes), at once. */
void muc_to_all(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *message);
void muc_to_one(struct sterna_call *c, const struct jid *to, const struct sterna_elem *stanza);
struct sterna_elem *muc_message(struct sterna_call *c, const struct jid *from, const char *type);

muc_fn muc_on_presence;                                                        /* muc_join.c */

/* --- messages: muc_message.c, muc_history.c, muc_invite.c, muc_iq.c --- */

muc_fn muc_on_message;
muc_fn muc_on_iq;                    /* to an occupant, and answers */
void muc_send_subject(struct sterna_call *c, struct muc_room *room, const struct jid *to);
/** What was said, as the new occupant asks for it (§7.2.14); x: its <x xmlns=muc/>, or NULL. */
void muc_send_history(struct sterna_call *c, struct muc_room *room, const struct jid *to, const struct sterna_elem *x);
void muc_past_add(struct sterna_call *c, struct muc_room *room, int64_t id, const struct sterna_elem *message);
void muc_past_clear(struct muc_room *room);
/** Has the same person said the same not long ago? By its <origin-id/> (XEP-0359); without one by id and text, where its stream
 *  was resumed after a restart and the other was said before that. As it went out; NULL: no. */
struct sterna_shared *muc_past_said(const struct muc_room *room, const struct muc_session *s, const struct sterna_elem *message);
/** It was retracted: it is told to nobody any more. */
void muc_past_remove(struct muc_room *room, int64_t id);
/** A message to the bare room that is no groupchat: invitations, voice. */
muc_fn muc_on_plain_message;
/** Is everybody who is inside still there? Who answers with an error goes. */
void muc_ask_who_is_there(struct sterna_call *c, struct muc_room *room);
void muc_pending_clear(struct muc_room *room);
void muc_pending_expire(struct muc_room *room, int64_t now_us);

/* --- requests: muc_admin.c, muc_owner.c, muc_disco.c, muc_register.c, muc_archive.c, muc_search.c … --- */

sterna_fn muc_on_admin, muc_on_owner, muc_on_disco_info, muc_on_disco_items, muc_on_register, muc_on_archive,
	muc_on_moderate, muc_on_vcard, muc_on_command, muc_on_search;
/** The commands that the asker may run in this room (XEP-0317), as items. */
void muc_add_commands(struct sterna_call *c, const struct muc_room *room, struct sterna_elem *query);
/** An admin's answer to someone's wish to become a member (§9.9). */
enum sterna_verdict muc_on_approval(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form);
/** May someone of that role and affiliation get the list of this one? */
bool muc_may_list(const struct muc_room *room, unsigned role, unsigned own, unsigned affiliation);
/** XEP-0463: all affiliations, for a newcomer that asks and does not have them; before any presence. */
void muc_send_affiliations(struct sterna_call *c, struct muc_room *room, const struct muc_session *s,
	const struct sterna_elem *x);
void muc_add_version(struct sterna_call *c, struct sterna_elem *x, uint64_t since, uint64_t until);
/** A new affiliation, and what follows: roles, presence, removal. actor NULL: the room itself. */
enum sterna_result muc_affiliate(struct sterna_call *c, struct muc_room *room, const char *bare, unsigned affiliation,
	const char *nick, const char *reason, const struct muc_session *actor);
void muc_set_role(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, unsigned role,
	const char *reason, const struct muc_session *actor);
/** Tell everyone inside, by status codes, of a new configuration. */
void muc_tell_codes(struct sterna_call *c, struct muc_room *room, const unsigned *codes, size_t count);
/** As administrators' commands: muc_command.c. */
extern const struct sterna_command muc_commands[];
/** An end: everyone out, and out of the database. */
void muc_destroy(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *destroy);

#endif
