/* upgrade.h - XEP-0480: a client that knows the password helps an account to the SCRAM hashes that it lacks (those
 * imported from other servers). The exchange around it is sasl2.h's. All functions are pure but for random bytes. */
#ifndef STERNA_UPGRADE_H
#define STERNA_UPGRADE_H

#include "server/credential.h"
#include "server/elem.h"

#define NS_UPGRADE "urn:xmpp:sasl:upgrade:0"

/** The tasks there are, into <authentication/>. The same for everyone: what an account lacks is its owner's business. */
void upgrade_features(struct arena *a, struct sterna_elem *authentication);
/** Those that an <authenticate/> asks for: mask of 1u << enum scram_hash. */
unsigned upgrade_asked(struct arena *a, const struct sterna_elem *authenticate);

struct upgrade {
	enum scram_hash hash;
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_LEN];     /* fresh random bytes, by the caller */
};
/** <salt/> for <task-data/> (§3). */
void upgrade_salt(const struct upgrade *u, struct arena *a, struct sterna_elem *task_data);
/** The client's <task-data/> with <hash/>. @return STERNA_EINVAL not what it should be */
enum sterna_result upgrade_finish(const struct upgrade *u, struct arena *a, const struct sterna_elem *task_data,
	struct credential *out) STERNA_CHECKED;

#endif
