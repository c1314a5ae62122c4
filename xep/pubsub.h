/* pubsub.h - the engine of PubSub (XEP-0060): nodes with their configuration and members, who may do what, and the
 * requests on them. PEP (XEP-0163) runs it on accounts; a service gives it another owner.
 *
 * Nodes of one owner lie in a struct pubsub, on its owner's worker, loaded once; items are in the database and only the
 * last one, if small, in memory too. Threads: those of the call. */
#ifndef XEP_PUBSUB_H
#define XEP_PUBSUB_H

#include "server/module.h"

#define NS_PUBSUB "http://jabber.org/protocol/pubsub"
#define NS_PUBSUB_EVENT NS_PUBSUB "#event"
#define NS_PUBSUB_OWNER NS_PUBSUB "#owner"
#define NS_PUBSUB_ERRORS NS_PUBSUB "#errors"
#define NS_PUBSUB_CONFIG NS_PUBSUB "#node_config"
#define NS_PUBSUB_OPTIONS NS_PUBSUB "#publish-options"
#define NS_PUBSUB_METADATA NS_PUBSUB "#meta-data"
#define NS_DATA "jabber:x:data"
#define NS_RSM "http://jabber.org/protocol/rsm"

/* --- configuration: pubsub_config.c --- */

enum pubsub_access { PUBSUB_OPEN, PUBSUB_PRESENCE, PUBSUB_ROSTER, PUBSUB_AUTHORIZE, PUBSUB_WHITELIST };
enum pubsub_publishers { PUBSUB_BY_PUBLISHERS, PUBSUB_BY_SUBSCRIBERS, PUBSUB_BY_ALL };
enum pubsub_send_last { PUBSUB_LAST_NEVER, PUBSUB_LAST_ON_SUB, PUBSUB_LAST_ON_PRESENCE };
#define PUBSUB_MAX UINT32_MAX            /* "max": as much as the server allows */

/** A node's configuration. Texts are its own or NULL: pubsub_config_clear(). */
struct pubsub_config {
	unsigned access, publishers, send_last, notification; /* notification: 0 headline, 1 normal */
	unsigned max_items, item_expire, max_payload;         /* item_expire: seconds, PUBSUB_MAX never */
	bool persist, payloads, notifications, notify_retract, notify_delete, notify_config, notify_sub, subscribe;
	char *title, *description, *type, *language;
	char *groups;                                         /* roster groups, one a line */
};
/** What the owner of nodes may have; from the module's options. */
struct pubsub_limits {
	unsigned nodes, own_nodes, items, members, page; /* own_nodes: of one creator; 0: as nodes */
	uint64_t payload, reply;             /* bytes */
	unsigned contacts;                   /* of a node's owners, that are looked at; a service's */
};
enum pubsub_result { PUBSUB_OK, PUBSUB_UNKNOWN_FIELD, PUBSUB_BAD_VALUE, PUBSUB_BAD_ACCESS, PUBSUB_NOT_MET };

/** What a new node of this name has, if its creator says nothing: on an account XEP-0163 §6, and the nodes that all
 *  clients know; on a service it is open. */
void pubsub_config_default(struct pubsub_config *cfg, bool on_service, const char *node);
void pubsub_config_clear(struct pubsub_config *cfg);
/** The form's fields over cfg. On any other result than PUBSUB_OK cfg is unchanged. */
enum pubsub_result pubsub_config_set(struct pubsub_config *cfg, struct sterna_call *c, const struct sterna_elem *form,
	const struct pubsub_limits *limits);
/** XEP-0060 §7.1.5: has cfg every value that the form names? */
enum pubsub_result pubsub_config_meets(const struct pubsub_config *cfg, struct sterna_call *c,
	const struct sterna_elem *form, const struct pubsub_limits *limits);
/** As fields of a form that may be filled in; brief: only what everyone may know of the node (meta-data, §5.4). */
void pubsub_config_form(const struct pubsub_config *cfg, struct sterna_call *c, struct sterna_elem *form, bool brief);
char *pubsub_config_json(const struct pubsub_config *cfg);                 /**< new */
bool pubsub_config_parse(struct pubsub_config *cfg, const char *json);     /**< cfg holds defaults before */

/* --- nodes: pubsub_node.c --- */

enum pubsub_affiliation { PUBSUB_NONE, PUBSUB_OUTCAST, PUBSUB_MEMBER, PUBSUB_PUBLISH_ONLY, PUBSUB_PUBLISHER, PUBSUB_OWNER };
enum pubsub_subscription { PUBSUB_UNSUBSCRIBED, PUBSUB_PENDING, PUBSUB_SUBSCRIBED };
extern const char *const pubsub_affiliation_names[], *const pubsub_subscription_names[];
enum { PUBSUB_KIND_AFFILIATION, PUBSUB_KIND_SUBSCRIPTION };

struct pubsub_member {
	char *jid;
	unsigned kind, value;
	bool paused;                         /* a subscription's option pubsub#deliver is false */
};
struct pubsub_node {
	char *name;
	struct pubsub_config cfg;
	struct pubsub_member *members;       /* sorted by kind and address */
	size_t member_count, member_size;
	int64_t created_us;
	int64_t last_seq;                    /* of the newest item ever; the next one's is higher */
	bool last_known;                     /* last is the newest item, or NULL: there is none */
	char *last;                          /* <item/> of an event */
	int64_t last_item_seq;
	char *last_id;                       /* its id, where it was published since; or NULL */
	unsigned changes;                    /* of its items: tells what was read before from what holds now */
};
struct pubsub {
	struct pubsub_node **nodes;          /* sorted by name */
	size_t count, size;
	bool on_service;                     /* whose nodes belong to those who made them */
};
/** Whoever asks, or is to be told. */
struct pubsub_who {
	const char *bare, *full;
	bool is_owner, sees;                 /* sees: the owner's presence */
	const struct sterna_elem *roster_item; /* the owner's, of this contact; or NULL */
	const struct pubsub_circle *circle;  /* on a service, where it was read: pubsub_with_circle(); or NULL */
};
enum pubsub_refusal {
	PUBSUB_ALLOWED, PUBSUB_CLOSED, PUBSUB_NEEDS_PRESENCE, PUBSUB_NEEDS_GROUP, PUBSUB_NEEDS_SUBSCRIPTION, PUBSUB_IS_OUTCAST
};

struct pubsub_node *pubsub_find(const struct pubsub *ps, const char *name);
struct pubsub_node *pubsub_add(struct pubsub *ps, const char *name);       /**< not there yet; defaults */
void pubsub_remove(struct pubsub *ps, struct pubsub_node *n);              /**< frees n */
void pubsub_clear(struct pubsub *ps);
unsigned pubsub_member(const struct pubsub_node *n, unsigned kind, const char *jid); /**< 0: none */
void pubsub_set_member(struct pubsub_node *n, unsigned kind, const char *jid, unsigned value); /**< 0 removes */
struct pubsub_member *pubsub_member_find(const struct pubsub_node *n, unsigned kind, const char *jid);
size_t pubsub_member_count(const struct pubsub_node *n, unsigned kind, unsigned value);
/** How many nodes this bare JID owns by affiliation. */
size_t pubsub_owned_count(const struct pubsub *ps, const char *bare);
bool pubsub_name_value(const char *const *names, const char *name, unsigned *out);
unsigned pubsub_affiliation(const struct pubsub_node *n, const struct pubsub_who *who);
bool pubsub_is_subscribed(const struct pubsub_node *n, const struct pubsub_who *who);
/** The one question before items, notifications, or the node's being there are shown: reading, subscribing,
 *  notifying and service discovery ask it. What is not allowed here is refused. */
enum pubsub_refusal pubsub_may_read(const struct pubsub_node *n, const struct pubsub_who *who);
bool pubsub_may_publish(const struct pubsub_node *n, const struct pubsub_who *who);
int64_t pubsub_next_seq(struct pubsub_node *n, int64_t now_us);
/** The newest item is now this one (its event's <item/>; NULL: none); what is too long is not kept in memory. */
void pubsub_note_last(struct pubsub_node *n, const char *item_xml, int64_t seq);
void pubsub_forget_last(struct pubsub_node *n);
/** How many items it may hold. */
unsigned pubsub_max_items(const struct pubsub_node *n, const struct pubsub_limits *l);
uint64_t pubsub_max_payload(const struct pubsub_node *n, const struct pubsub_limits *l);
/** Items not newer than this have expired. */
int64_t pubsub_expired_seq(const struct pubsub_node *n, int64_t now_us);

/* --- whom a node's owners know: pubsub_circle.c --- */

struct pubsub_request;
typedef enum sterna_verdict pubsub_circle_fn(struct pubsub_request *r);
bool pubsub_needs_circle(const struct pubsub_node *n);
/** Reads what r->who.circle is, then goes on: the contacts of n's owners; n NULL: the one who asks, at all nodes.
 *  @return STERNA_WAIT */
enum sterna_verdict pubsub_with_circle(struct pubsub_request *r, const struct pubsub_node *n, pubsub_circle_fn *then);
/** §4.5: does an owner let them see its presence? And has them in one of the node's groups? */
bool pubsub_sees(const struct pubsub_node *n, const struct pubsub_who *who);
bool pubsub_is_grouped(const struct pubsub_node *n, const struct pubsub_who *who);

/* --- requests: pubsub_publish.c, pubsub_items.c, pubsub_owner.c, pubsub_subscribe.c --- */

/** A request on the nodes of an owner. */
struct pubsub_request {
	struct sterna_call *c;
	struct pubsub *ps;
	const struct pubsub_limits *limits;
	struct pubsub_who who;
	bool may_create;                     /* nodes here at all */
	/** Tell everyone who is to hear of it: <event/>, to those who may read n now. */
	void (*notify)(struct pubsub_request *r, struct pubsub_node *n, const struct sterna_elem *event);
	/** To one address. */
	void (*tell)(struct sterna_call *c, struct pubsub_node *n, const char *to, const struct sterna_elem *event);
	/** What the node holds has changed: an item is published (payload may be NULL) or gone; id NULL: all are gone. May
	 *  be NULL. */
	void (*changed)(struct sterna_call *c, const struct pubsub_node *n, const char *id, bool published,
		const struct sterna_elem *payload);
};
/** <pubsub/> in either namespace, of either type: dispatches to one of the requests. r lies with the call. */
enum sterna_verdict pubsub_answer(struct pubsub_request *r);
enum sterna_verdict pubsub_refuse(struct sterna_call *c, enum pubsub_refusal why);
/** Application-specific condition in the errors' namespace. */
enum sterna_verdict pubsub_reject(struct sterna_call *c, enum sterna_condition condition, const char *name);
/** feature-not-implemented with <unsupported feature='…'/>. */
enum sterna_verdict pubsub_unsupported(struct sterna_call *c, const char *feature);

typedef enum sterna_verdict pubsub_fn(struct pubsub_request *r, const struct sterna_elem *action);
pubsub_fn pubsub_publish, pubsub_retract, pubsub_create, pubsub_purge, pubsub_delete; /* pubsub_publish.c */
pubsub_fn pubsub_items;                                                                /* pubsub_items.c */
pubsub_fn pubsub_subscribe, pubsub_unsubscribe, pubsub_own_subscriptions, pubsub_own_affiliations,
	pubsub_options_get, pubsub_options_set, pubsub_default_options;                /* pubsub_subscribe.c */
pubsub_fn pubsub_subscriptions_get, pubsub_subscriptions_set;                          /* pubsub_approve.c */
pubsub_fn pubsub_configure_get, pubsub_configure_set, pubsub_default_get;              /* pubsub_owner.c */
pubsub_fn pubsub_affiliations_get, pubsub_affiliations_set;                            /* pubsub_affiliate.c */

/** Write the node's row; and a member's. */
void pubsub_store_node(struct pubsub_request *r, const struct pubsub_node *n);
void pubsub_store_member(struct pubsub_request *r, struct pubsub_node *n, unsigned kind, const char *jid, unsigned value);
/** <event><subscription/></event>, to whom it is about, or to others who are to know. */
const struct sterna_elem *pubsub_subscription_event(struct pubsub_request *r, const struct pubsub_node *n, const char *jid,
	unsigned value);
/** A subscription begins, changes or ends: stored, told to it, and to the owners if they want to know. */
void pubsub_change_subscription(struct pubsub_request *r, struct pubsub_node *n, const char *jid, unsigned value);
struct sterna_elem *pubsub_add_subscription(struct sterna_elem *to, const char *node, const char *jid, unsigned value);
/** §8.6: ask the owners to let someone in. */
void pubsub_ask_owners(struct pubsub_request *r, struct pubsub_node *n, const char *jid);
/** A <message/> that may hold an owner's answer to that. STERNA_NEXT: it does not */
enum sterna_verdict pubsub_take_approval(struct pubsub_request *r, const struct sterna_elem *message);
/** §8.7: the ad-hoc command of that name. */
#define NS_PUBSUB_PENDING NS_PUBSUB "#get-pending"
#define NS_COMMANDS "http://jabber.org/protocol/commands"
enum sterna_verdict pubsub_get_pending(struct pubsub_request *r);
/** Calls fn for every owner's address. */
void pubsub_each_owner(struct pubsub_request *r, const struct pubsub_node *n, void (*fn)(struct pubsub_request *r,
	struct pubsub_node *n, const char *jid, void *arg), void *arg);

/** The node that an action names, for its owner; NULL: refused, and *refused is what to return. */
struct pubsub_node *pubsub_owned(struct pubsub_request *r, const struct sterna_elem *action, enum sterna_verdict *refused);

/** The last item to a new subscriber (§6.1.7), now or when it has been read; the answer leaves before it. */
enum sterna_verdict pubsub_reply_and_last(struct pubsub_request *r, struct pubsub_node *n, const char *to,
	struct sterna_elem *answer);
/** As a late message (XEP-0203), to one address. item: an event's <item/> of that time. */
void pubsub_send_item(struct sterna_call *c, const struct pubsub_node *n, const char *to, const char *item, int64_t seq);
/** disco#items of a node, and disco#info: answers or refuses. */
enum sterna_verdict pubsub_disco_items(struct pubsub_request *r, const char *node);
enum sterna_verdict pubsub_disco_info(struct pubsub_request *r, const char *node);

/** The newest item: owner, node, not older than; columns id, publisher, payload, seq. */
extern const struct db_stmt pubsub_last_item;
/** Every node of an owner with its members: node, config, newest seq, kind, jid, value, options, created. */
extern const struct db_stmt pubsub_load;
/** Rows of pubsub_load into ps; what cannot be read is logged and left out. */
void pubsub_load_rows(struct pubsub *ps, const char *owner, const struct sterna_rows *rows);
/** <item/> of an event as text; publisher NULL: the owner's own. Lives with the call. */
const char *pubsub_item_xml(struct sterna_call *c, const char *id, const char *publisher, const char *payload);
/** A notification: <message/> with the event, without address yet. */
struct sterna_elem *pubsub_message(struct sterna_call *c, const struct pubsub_node *n, const struct sterna_elem *event);
/** Rows of a module's feature table: what the engine can do (XEP-0060 §10). */
#define PUBSUB_FEATURES(scope) \
	{ NS_PUBSUB, scope }, \
	{ NS_PUBSUB "#access-authorize", scope }, \
	{ NS_PUBSUB "#access-open", scope }, \
	{ NS_PUBSUB "#access-presence", scope }, \
	{ NS_PUBSUB "#access-roster", scope }, \
	{ NS_PUBSUB "#access-whitelist", scope }, \
	{ NS_PUBSUB "#auto-create", scope }, \
	{ NS_PUBSUB "#config-node", scope }, \
	{ NS_PUBSUB "#config-node-max", scope }, \
	{ NS_PUBSUB "#create-and-configure", scope }, \
	{ NS_PUBSUB "#create-nodes", scope }, \
	{ NS_PUBSUB "#delete-items", scope }, \
	{ NS_PUBSUB "#delete-nodes", scope }, \
	{ NS_PUBSUB "#instant-nodes", scope }, \
	{ NS_PUBSUB "#item-ids", scope }, \
	{ NS_PUBSUB "#last-published", scope }, \
	{ NS_PUBSUB "#manage-subscriptions", scope }, \
	{ NS_PUBSUB "#member-affiliation", scope }, \
	{ NS_PUBSUB "#meta-data", scope }, \
	{ NS_PUBSUB "#modify-affiliations", scope }, \
	{ NS_PUBSUB "#multi-items", scope }, \
	{ NS_PUBSUB "#outcast-affiliation", scope }, \
	{ NS_PUBSUB "#persistent-items", scope }, \
	{ NS_PUBSUB "#publish", scope }, \
	{ NS_PUBSUB "#publish-only-affiliation", scope }, \
	{ NS_PUBSUB "#publish-options", scope }, \
	{ NS_PUBSUB "#publisher-affiliation", scope }, \
	{ NS_PUBSUB "#purge-nodes", scope }, \
	{ NS_PUBSUB "#retract-items", scope }, \
	{ NS_PUBSUB "#retrieve-affiliations", scope }, \
	{ NS_PUBSUB "#retrieve-default", scope }, \
	{ NS_PUBSUB "#retrieve-default-sub", scope }, \
	{ NS_PUBSUB "#retrieve-items", scope }, \
	{ NS_PUBSUB "#retrieve-subscriptions", scope }, \
	{ NS_PUBSUB "#rsm", scope }, \
	{ NS_PUBSUB "#subscribe", scope }, \
	{ NS_PUBSUB "#subscription-notifications", scope }, \
	{ NS_PUBSUB "#subscription-options", scope }

#endif
