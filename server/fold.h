/* fold.h - texts as they are compared without regard to case, for searches by people. Not for addresses: jid.h has their
 * profiles. Threads: any. */
#ifndef STERNA_FOLD_H
#define STERNA_FOLD_H

#include <stddef.h>

/** Simple case folding of each code point (Unicode §5.18); bytes that are no UTF-8 are left out. New: free() it. */
char *fold_text(const char *text, size_t len);

#endif
