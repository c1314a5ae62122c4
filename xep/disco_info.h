/* disco_info.h - the server's or an account's disco#info as XEP-0030 shows it, and its hash (XEP-0115 §5). Both
 * discovery and entity capabilities are built from it, so that they agree. */
#ifndef XEP_DISCO_INFO_H
#define XEP_DISCO_INFO_H

#include "server/module.h"

#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_DATA "jabber:x:data"
#define STERNA_CAPS_NODE "urn:sterna"   /* which software: the same in every answer of every host */

/** <query/> with identities, features (sorted, each once) and forms of that scope (bits of enum sterna_scope). */
struct sterna_elem *disco_info(struct sterna_call *c, unsigned scope);

enum { CAPS_VER_SIZE = 29 };
/** The verification string's SHA-1 in base 64 (XEP-0115 §5.1), of any disco#info <query/>.
 *  @return false: not well-formed by §5.4 (doubles, a form with several or no FORM_TYPE values): no hash */
bool caps_ver(struct sterna_call *c, const struct sterna_elem *query, char out[CAPS_VER_SIZE]);

#endif
