/* xep0357_push.h - what the files of the module "push" share: where an account's devices want to be woken. */
#ifndef XEP0357_PUSH_H
#define XEP0357_PUSH_H

#include "server/module.h"
#include "xep/pep.h"

#define NS_PUSH "urn:xmpp:push:0"

struct push_config {
	unsigned max_services, max_failures;
	struct sterna_size max_options;
	struct sterna_duration pause, retry;
	bool with_sender, with_body, subscriptions;
};

/** One app server's node. Lives in the account's slot. */
struct push_service {
	char *jid, *node;                /* node "": none */
	char *resource;                  /* of the device that asked for it */
	char *options;                   /* XML of a form, or "" */
	char token[17];                  /* in the ids of what is published there: whose answer is it? */
	unsigned count;                  /* messages since the device was here last, as far as we know */
	unsigned failures;               /* in a row */
	int64_t pushed_us;               /* last time; 0: not since the device was here last */
	uint32_t sent;                   /* number (XEP-0198) of the newest message that should wake it */
	bool waits;                      /* sent holds; not known to be acknowledged yet */
	bool retrying;                   /* perhaps there is something of it in the worker's slot */
};
struct push_setting;
struct push_account {
	struct push_service *item;
	size_t count;
	struct push_setting *settings;   /* of rooms that do not always wake; kept while there is a device */
	size_t setting_count;
};

/** In the worker's slot: what is to be published once more (xep0357_retry.c). */
struct push_retry;
struct push_worker {
	struct push_retry *retries;
	unsigned retry_count;
};

enum { PUSH_SENT, PUSH_HELD, PUSH_FAILED, PUSH_REMOVED };

/** The device's session, or NULL. */
struct sterna_session *push_session(struct sterna_call *c, const struct push_service *p);
/** Out of the slot and of the database. */
void push_remove(struct sterna_call *c, struct push_service *p);

/* xep0357_notify.c */
sterna_fn push_on_message, push_on_subscription, push_on_answer;
void push_on_detached(struct sterna_call *c);
void push_on_here(struct sterna_call *c);    /**< the device has a connection again */

/** What is published: <pubsub/>. about: the stanza of the call tells more than that something came; NULL: it does not.
 *  Made through the call. */
struct sterna_elem *push_notification(struct sterna_call *c, const struct push_service *p, const struct sterna_elem *about);
const char *push_id(struct sterna_call *c, const struct push_service *p); /**< a new id for an IQ to that service */

/* xep0357_settings.c: XEP-0492 */
/** Reads the owner's settings, then goes on. @return STERNA_WAIT */
enum sterna_verdict push_read_settings(struct sterna_call *c, sterna_fn *then);
void push_set_setting(struct sterna_call *c, const char *room, const char *xml);  /**< xml: the room's bookmark */
void push_forget_settings(struct push_account *a);
void push_on_changed(struct sterna_call *c, void *arg);   /**< PEP_CHANGED */
/** May what a room says wake the owner's devices? encrypted: what it says cannot be looked at. */
bool push_is_wanted(struct sterna_call *c, bool encrypted);

/* xep0357_retry.c */
void push_retry_later(struct sterna_call *c, struct push_service *p);
void push_forget_retry(struct sterna_call *c, struct push_service *p);
void push_forget_retries(struct sterna_call *c);     /**< all of the owner's */
void push_on_tick(struct sterna_call *c);
void push_on_worker_ended(struct sterna_call *c);

#endif
