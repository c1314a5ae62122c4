/* xep0398_avatar.h - the avatar of an account, whether it came by PEP (XEP-0084) or in a vCard (XEP-0153). Part of the
 * module "vcard". Threads: those of the call. */
#ifndef XEP0398_AVATAR_H
#define XEP0398_AVATAR_H

#include "xep/pep.h"

#define NS_VCARD "vcard-temp"
#define NS_AVATAR_DATA "urn:xmpp:avatar:data"
#define NS_AVATAR_METADATA "urn:xmpp:avatar:metadata"

enum { AVATAR_ID_SIZE = 41 };            /* SHA-1 in hexadecimal, and a NUL */
enum avatar_state { AVATAR_UNKNOWN, AVATAR_NONE, AVATAR_SET };

/** The account's slot: what its metadata say. */
struct avatar {
	unsigned state;
	char id[AVATAR_ID_SIZE], type[64];
	bool photo;                      /* a vCard's photo is this one: anyone may see it */
};

/** The photo of a card as an avatar: publishes both items. @return false: no photo that can be read */
bool avatar_from_card(struct sterna_call *c, const struct sterna_elem *card);
/** The card that had the avatar has no photo any more: there is none (XEP-0084 §4.3). */
void avatar_remove(struct sterna_call *c);
/** Put the avatar into a card in place of its photo. data: payload of the item, or NULL. */
void avatar_into_card(struct sterna_call *c, struct sterna_elem *card, const char *data, bool may_read);
sterna_fn avatar_on_presence;            /**< STERNA_OUT_STORE */
void avatar_on_changed(struct sterna_call *c, void *arg);                               /**< PEP_CHANGED */
void avatar_on_read(struct sterna_call *c, const struct sterna_rows *rows);
extern const struct db_stmt avatar_read;

#endif
