/* web_lang.h - what the pages say, in the languages that they speak: a table, and who wants which. */
#ifndef MODULES_WEB_LANG_H
#define MODULES_WEB_LANG_H

#include "server/module.h"

enum web_lang { WEB_EN, WEB_DE, WEB_FR, WEB_ES, WEB_LANGS };

/** {}: where an argument goes. The texts are HTML; arguments are escaped where they are put in. */
enum web_word {
	W_CHAT_ON, W_ABOUT, W_CONNECT, W_GET_APP, W_ADD_ACCOUNT, W_JOIN_OPEN, W_JOIN_INVITED, W_JOIN_CLOSED, W_CHAT_HERE,
	W_ADDRESSES, W_ADDRESSES_WHY, W_DOMAIN, W_CLIENTS_TLS, W_CLIENTS_STARTTLS, W_ROOMS, W_FILES, W_PUBSUB, W_PROXY, W_LINKS,
	W_NOT_FOUND, W_NOTHING_HERE, W_NO_SERVICE, W_NO_CLIENT, W_NO_CLIENT_WHY,
	W_INVITATION, W_INVITES_YOU, W_INVITED_TO, W_KEPT, W_MAY_MAKE, W_OR_USE, W_OPEN_IT, W_STEP_APP, W_STEP_APP_WHY, W_STEP_OPEN,
	W_OPEN, W_OTHER_DEVICE, W_QR, W_QR_TOO_LONG, W_BY_HAND, W_SERVER, W_CONTACT, W_CODE, W_LINK, W_GOOD_UNTIL, W_KEEP_IT,
	W_UNKNOWN, W_UNKNOWN_WHY, W_RETRY, W_RETRY_WHY, W_USED, W_USED_WHY, W_NOT_TAKEN, W_NOT_TAKEN_WHY, W_OLD, W_OLD_WHY,
	W_MAKE_HERE, W_MAKE_HERE_WHY, W_NAME, W_PASSWORD, W_AGAIN, W_MAKE, W_BAD_DIFFER, W_BAD_WISH, W_BAD_TAKEN, W_BAD_LATER,
	W_STALE, W_STALE_WHY, W_HTTPS, W_HTTPS_WHY, W_MADE, W_MADE_WHY,
	W_WORDS
};

/** By Accept-Language (RFC 9110 §12.5.4); English where nothing else is wanted. */
enum web_lang web_lang_of(const char *header);
const char *web_lang_code(enum web_lang lang);          /**< "en" */
const char *web_word(enum web_lang lang, enum web_word w);

#endif
