/* upgrade.c - tasks UPGR-SCRAM-*. */
#include "server/upgrade.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include "server/base64.h"

#define NS_SCRAM_UPGRADE "urn:xmpp:scram-upgrade:0"

void upgrade_features(struct arena *a, struct sterna_elem *authentication)
{
	for (int h = SCRAM_HASH_COUNT - 1; h >= 0; h--) {
		const char *name = credential_upgrade_name((enum scram_hash)h);

		if (name != NULL)
			elem_add_text(a, elem_add(a, authentication, "upgrade", NS_UPGRADE), name, strlen(name));
	}
}

unsigned upgrade_asked(struct arena *a, const struct sterna_elem *authenticate)
{
	unsigned mask = 0;

	elem_foreach(e, authenticate)
	{
		enum scram_hash h;

		if (elem_is(e, "upgrade", NS_UPGRADE) && credential_upgrade_from_name(elem_text(a, e), &h))
			mask |= 1u << h;
	}
	return mask;
}

void upgrade_salt(const struct upgrade *u, struct arena *a, struct sterna_elem *task_data)
{
	struct sterna_elem *e = elem_add(a, task_data, "salt", NS_SCRAM_UPGRADE);
	char salt[BASE64_TEXT_LEN(SCRAM_SALT_LEN) + 1], iterations[16];

	snprintf(iterations, sizeof iterations, "%u", u->iterations);
	elem_set_attr(a, e, "iterations", iterations);
	if (base64_encode(u->salt, sizeof u->salt, salt, sizeof salt) == STERNA_OK)
		elem_add_text(a, e, salt, strlen(salt));
}

enum sterna_result upgrade_finish(const struct upgrade *u, struct arena *a, const struct sterna_elem *task_data,
	struct credential *out)
{
	const struct sterna_elem *e = elem_child(task_data, "hash", NS_SCRAM_UPGRADE);
	uint8_t salted[SCRAM_KEY_MAX];
	size_t len = 0;

	if (e == NULL)
		return STERNA_EINVAL;
	const char *text = elem_text(a, e);
	enum sterna_result rc = base64_decode(text, strlen(text), salted, sizeof salted, &len);

	if (rc == STERNA_OK)
		rc = credential_from_salted(u->hash, salted, len, u->salt, sizeof u->salt, u->iterations, out);
	OPENSSL_cleanse(salted, sizeof salted);
	return rc == STERNA_OK ? STERNA_OK : STERNA_EINVAL;
}
