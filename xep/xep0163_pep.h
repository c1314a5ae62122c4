/* xep0163_pep.h - what the files of the module "pep" share. */
#ifndef XEP0163_PEP_H
#define XEP0163_PEP_H

#include "xep/caps.h"
#include "xep/pep.h"
#include "xep/pubsub.h"

struct pep_config {
	unsigned max_nodes, max_items, max_members, page, max_contacts;
	struct sterna_size max_payload, max_reply;
};

enum { PEP_VER_SIZE = 32 };

/** A contact's available resource, with the hash of its capabilities. */
struct pep_peer {
	struct jid *jid;
	const char *full;                /* jid's */
	uint64_t hash;                   /* of full */
	char ver[PEP_VER_SIZE];          /* "": announces none */
};
struct pep_account {
	struct pubsub ps;
	struct pep_peer *peers;          /* while the account has sessions */
	size_t peer_count, peer_size;
};
struct pep_session {
	char ver[PEP_VER_SIZE];          /* for which the last items were sent */
};

#define NS_PEP_LAST "urn:sterna:pep:last"

/** Who that is, with what the account's roster says of it; its groups only if with_groups. */
void pep_who(struct sterna_call *c, const struct jid *j, bool with_groups, struct pubsub_who *out);
struct pubsub_limits *pep_limits(struct sterna_call *c);   /**< lives with the call */

/* xep0163_notify.c */
void pep_notify(struct pubsub_request *r, struct pubsub_node *n, const struct sterna_elem *event);
void pep_tell(struct sterna_call *c, struct pubsub_node *n, const char *to, const struct sterna_elem *event);
/** The last items of all nodes that this client wants and may read: XEP-0163 §4.3.4. presence: says what it wants. */
void pep_send_last(struct sterna_call *c, const char *full, const struct sterna_elem *presence);
sterna_fn pep_on_last;               /**< the part of it that had to read first */
/** An element with the hash, for struct caps; ver "": NULL. */
const struct sterna_elem *pep_presence(struct sterna_call *c, const char *ver);

/* xep0163_peers.c */
sterna_fn pep_on_presence_out, pep_on_presence_in, pep_on_caps_answer;
void pep_on_block(struct sterna_call *c);   /**< the owner's own IQ with the payload <block/> */
void pep_forget_peers(struct pep_account *a);

#endif
