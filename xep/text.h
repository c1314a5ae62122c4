/* text.h - what modules need of an element's text. Threads: those of the call. */
#ifndef XEP_TEXT_H
#define XEP_TEXT_H

#include "server/module.h"

/** All text directly in e; lives as long as c's stanza. */
static inline const char *text_of(struct sterna_call *c, const struct sterna_elem *e)
{
	struct buf b = BUF_INIT;
	const char *text;

	for (const struct sterna_elem *t = e->first; t != NULL; t = t->next)
		if (t->name == NULL)
			buf_add(&b, t->text, t->text_len);
	text = sterna_printf(c, "%s", buf_len(&b) > 0 ? buf_str(&b) : "");
	buf_release(&b);
	return text;
}

#endif
