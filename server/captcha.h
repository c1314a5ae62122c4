/* captcha.h - a question that who registers has to answer (XEP-0158, of its kinds "qa"): the operator's own questions, as
 * text, which everybody can read or hear read. It keeps out programs that try every server, not somebody who wants in.
 * Threads: the stream's worker. */
#ifndef STERNA_CAPTCHA_H
#define STERNA_CAPTCHA_H

#include "server/config.h"
#include "server/elem.h"
#include "server/loop.h"

struct captcha;

/** Ask one of the host's questions: adds its fields to a form. *c: the stream's, replaced; NULL: nothing was asked. sid: the id of
 *  the request. */
void captcha_ask(struct captcha **c, struct loop *l, const struct config_host *h, const char *sid, struct sterna_elem *form);
enum captcha_verdict { CAPTCHA_RIGHT, CAPTCHA_WRONG, CAPTCHA_UNKNOWN };
/** Was it answered by this form? A question is good for one answer: *c is freed, set to NULL.
 *  @return CAPTCHA_UNKNOWN no question, or no answer to this one: ask for the form first */
enum captcha_verdict captcha_take(struct captcha **c, const struct sterna_elem *form);
void captcha_free(struct captcha **c);

#endif
