/* XEP-0486: a room's vCard, with its avatar. Part of the module "muc"; see muc.h. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

/* The bytes of base 64, where space may stand anywhere between them. @return their number, or -1 */
static int decode(const char *text, unsigned char *out)
{
	unsigned char *packed = xalloc(strlen(text) + 5);
	size_t n = 0;
	int len = 0;

	for (const char *p = text; *p != '\0'; p++)
		if (strchr(" \t\r\n", *p) == NULL)
			packed[n++] = (unsigned char)*p;
	if (n % 4 != 0)
		len = -1;
	else if (n > 0)
		len = EVP_DecodeBlock(out, packed, (int)n);
	for (size_t i = n; len > 0 && i > 0 && packed[i - 1] == '=' && n - i < 2; i--)
		len--;
	free(packed);
	return len;
}

/* XEP-0153 §4.1: the SHA-1 of the image. @return STERNA_EINVAL: no image in base 64; *hash NULL: there is none */
static enum sterna_result photo_hash(struct sterna_call *c, const struct sterna_elem *vcard, char **hash)
{
	const struct sterna_elem *photo = elem_child(vcard, "PHOTO", NULL), *value;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	enum sterna_result rc = STERNA_EINVAL;

	*hash = NULL;
	value = photo != NULL ? elem_child(photo, "BINVAL", NULL) : NULL;
	if (value == NULL)
		return STERNA_OK;
	const char *text = text_of(c, value);
	unsigned char *bytes = xalloc(strlen(text) + 4);
	const int len = decode(text, bytes);

	if (len >= 0 && EVP_Digest(bytes, (size_t)len, digest, &digest_len, EVP_sha1(), NULL) == 1) {
		char hex[2 * EVP_MAX_MD_SIZE + 1];

		for (unsigned i = 0; i < digest_len; i++)
			snprintf(hex + 2 * i, 3, "%02x", digest[i]);
		*hash = len > 0 ? xstrdup(hex) : NULL;
		rc = STERNA_OK;
	}
	free(bytes);
	return rc;
}

static enum sterna_verdict on_get(struct sterna_call *c, struct muc_room *room)
{
	struct sterna_elem *around = sterna_elem(c, "stored", NS_CLIENT);

	if (room->vcard == NULL)
		return sterna_reply(c, sterna_elem(c, "vCard", NS_VCARD));
	sterna_add_xml(around, room->vcard);
	return sterna_reply(c, sterna_child(around));
}

static enum sterna_verdict on_set(struct sterna_call *c, struct muc_room *room)
{
	static const unsigned changed[] = { 104 };
	const struct sterna_elem *vcard = sterna_payload(c);
	const char *text = sterna_xml(vcard);
	char *hash = NULL;

	if (muc_affiliation(room, sterna_from(c)) != MUC_OWNER)
		return sterna_reject(c, STERNA_FORBIDDEN, "only owners are allowed to set avatars");
	if (strlen(text) > muc_options(c)->avatar_size.bytes)
		return sterna_reject(c, STERNA_POLICY_VIOLATION, "this vCard is too large");
	if (photo_hash(c, vcard, &hash) != STERNA_OK)
		return sterna_reject(c, STERNA_BAD_REQUEST, "the image is not in base 64");
	free(room->vcard);
	free(room->photo_hash);
	room->vcard = elem_first(vcard) != NULL ? xstrdup(text) : NULL;
	room->photo_hash = hash;
	muc_store_room(c, room);
	muc_tell_codes(c, room, changed, 1);
	return sterna_reply(c, NULL);
}

/* Like what the room says of itself in service discovery: for everyone but the banned. */
static enum sterna_verdict on_vcard(struct sterna_call *c, struct muc_room *room)
{
	const unsigned affiliation = room != NULL ? muc_affiliation(room, sterna_from(c)) : MUC_NONE;

	if (room == NULL || (room->locked && affiliation != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (affiliation == MUC_OUTCAST)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	return strcmp(sterna_type(c), "get") == 0 ? on_get(c, room) : on_set(c, room);
}

enum sterna_verdict muc_on_vcard(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, on_vcard)
		: sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
}
