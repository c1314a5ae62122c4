/* XEP-0398 User Avatar to vCard-Based Avatars Conversion 1.0.0, with the hash of XEP-0153 in presence. What PEP has is the
 * avatar; a card's photo is published there, and cards are shown with it. See xep0398_avatar.h. */
#include "xep/xep0398_avatar.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define NS_UPDATE "vcard-temp:x:update"

const struct db_stmt avatar_read = {
	.name = "avatar_read", .params = "t", .columns = "tt",
	.sql = "SELECT (SELECT payload FROM pubsub_item WHERE owner = $1 AND node = 'urn:xmpp:avatar:metadata'"
	       " ORDER BY seq DESC LIMIT 1), (SELECT photo_hash FROM vcard WHERE owner = $1)",
};

/* --- metadata --- */

static bool is_id(const char *id)
{
	return id != NULL && strlen(id) == AVATAR_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == AVATAR_ID_SIZE - 1;
}

/* §3.1: the image that lies here, not at a URL. Metadata without any image: XEP-0084 §4.3, there is none now. */
static void take_metadata(struct avatar *a, const struct sterna_elem *metadata)
{
	a->state = AVATAR_UNKNOWN;
	if (!elem_is(metadata, "metadata", NS_AVATAR_METADATA))
		return;
	a->state = AVATAR_NONE;
	elem_foreach(info, metadata) {
		const char *id = elem_attr(info, "id"), *type = elem_attr(info, "type");

		if (!elem_is(info, "info", NS_AVATAR_METADATA) || elem_attr(info, "url") != NULL || !is_id(id))
			continue;
		strcpy(a->id, id);
		strncpy(a->type, type != NULL ? type : "image/png", sizeof a->type - 1);
		a->state = AVATAR_SET;
		return;
	}
}

void avatar_on_read(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct avatar *a = sterna_account_slot(c);
	struct sterna_elem *holder = sterna_elem(c, "holder", NS_VCARD);

	if (a == NULL || rows->count == 0 || rows->text[0] == NULL)
		return;
	sterna_add_xml(holder, rows->text[0]);
	take_metadata(a, sterna_child(holder));
	a->photo = rows->text[1] != NULL && a->state == AVATAR_SET && strcmp(rows->text[1], a->id) == 0;
}

void avatar_on_changed(struct sterna_call *c, void *arg)
{
	const struct pep_change *change = arg;
	struct avatar *a = sterna_account_slot(c);
	char before[AVATAR_ID_SIZE];

	if (a == NULL || strcmp(change->node, NS_AVATAR_METADATA) != 0)
		return;
	memcpy(before, a->id, sizeof before);
	if (change->published)
		take_metadata(a, change->payload);
	else
		a->state = AVATAR_NONE;
	if (strcmp(before, a->id) != 0)
		a->photo = false;
}

/* --- cards --- */

static char *base64_plain(const char *text, size_t *len)
{
	char *out = xalloc(strlen(text) + 1);

	*len = 0;
	for (; *text != '\0'; text++)
		if (strchr(" \t\r\n", *text) == NULL)
			out[(*len)++] = *text;
	return out;
}

/* The SHA-1 of what is written in base 64; false: it is not. */
static bool id_of(const char *text, char id[AVATAR_ID_SIZE], size_t *bytes)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t len;
	char *plain = base64_plain(text, &len);
	uint8_t *data = xalloc(len + 4);
	unsigned n = 0;
	const bool ok = base64_decode(plain, len, data, len + 4, bytes) == STERNA_OK && *bytes > 0
		&& EVP_Digest(data, *bytes, digest, &n, EVP_sha1(), NULL) == 1 && n == 20;

	for (unsigned i = 0; ok && i < n; i++)
		snprintf(id + 2 * i, 3, "%02x", digest[i]);
	free(data);
	free(plain);
	return ok;
}

static const struct sterna_elem *photo_of(const struct sterna_elem *card)
{
	return elem_child(card, "PHOTO", NS_VCARD);
}

/* §3.2: data first, then what tells of it. */
bool avatar_from_card(struct sterna_call *c, const struct sterna_elem *card)
{
	struct avatar *a = sterna_account_slot(c);
	const struct sterna_elem *photo = photo_of(card);
	const char *text = photo != NULL ? sterna_child_text(photo, "BINVAL") : NULL,
		*type = photo != NULL ? sterna_child_text(photo, "TYPE") : NULL;
	struct sterna_elem *data, *metadata, *info;
	char id[AVATAR_ID_SIZE];
	size_t bytes;

	if (a == NULL || text == NULL || !id_of(text, id, &bytes))
		return false;
	if (a->state != AVATAR_SET || strcmp(a->id, id) != 0) { /* a card is often set with the photo that it had */
		data = sterna_elem(c, "data", NS_AVATAR_DATA);
		sterna_text(data, NULL, text);
		pep_request_publish(c, NS_AVATAR_DATA, id, data);
		metadata = sterna_elem(c, "metadata", NS_AVATAR_METADATA);
		info = sterna_add(metadata, "info", NULL);
		sterna_attr(info, "id", id);
		sterna_attr(info, "bytes", sterna_printf(c, "%zu", bytes));
		sterna_attr(info, "type", type != NULL && type[0] != '\0' ? type : "image/png");
		pep_request_publish(c, NS_AVATAR_METADATA, id, metadata);
		take_metadata(a, metadata);
	}
	a->photo = true;
	return true;
}

void avatar_remove(struct sterna_call *c)
{
	struct avatar *a = sterna_account_slot(c);

	pep_request_publish(c, NS_AVATAR_METADATA, "none", sterna_elem(c, "metadata", NS_AVATAR_METADATA));
	a->state = AVATAR_NONE;
	a->photo = false;
}

void avatar_into_card(struct sterna_call *c, struct sterna_elem *card, const char *data, bool may_read)
{
	const struct avatar *a = sterna_account_slot(c);
	struct sterna_elem *photo = elem_child(card, "PHOTO", NS_VCARD), *holder;
	const char *text;

	if (a == NULL || a->state == AVATAR_UNKNOWN || a->photo)
		return; /* the card's own is right, or all there is */
	if (photo != NULL)
		elem_remove(photo);
	if (a->state != AVATAR_SET || data == NULL || !may_read)
		return;
	holder = sterna_elem(c, "holder", NS_VCARD);
	sterna_add_xml(holder, data);
	if (!elem_is(sterna_child(holder), "data", NS_AVATAR_DATA))
		return;
	text = elem_text(holder->arena, sterna_child(holder));
	photo = sterna_add(card, "PHOTO", NS_VCARD);
	sterna_text(photo, "TYPE", a->type);
	sterna_text(photo, "BINVAL", text);
}

/* --- presence: §4 --- */

enum sterna_verdict avatar_on_presence(struct sterna_call *c)
{
	const struct avatar *a = sterna_account_slot(c);
	struct sterna_elem *x, *photo;

	if (a == NULL || a->state == AVATAR_UNKNOWN || strcmp(sterna_type(c), "available") != 0)
		return STERNA_NEXT;
	x = elem_child(sterna_stanza(c), "x", NS_UPDATE);
	photo = x != NULL ? elem_child(x, "photo", NS_UPDATE) : NULL;
	if (photo != NULL && photo->first == NULL)
		return STERNA_NEXT; /* the client says that it shows none */
	if (x == NULL)
		x = sterna_add(sterna_stanza(c), "x", NS_UPDATE);
	if (photo != NULL)
		elem_remove(photo);
	photo = sterna_add(x, "photo", NULL);
	if (a->state == AVATAR_SET)
		sterna_text(photo, NULL, a->id);
	return STERNA_NEXT;
}
