/* request_check.h - between request.c and request_check.c. */
#ifndef STERNA_REQUEST_CHECK_H
#define STERNA_REQUEST_CHECK_H

#include "server/request.h"

/** The words behind the command's name into r->args. @return false: noted */
bool request_words(struct request *r, const struct sterna_command *c, const char *const *word, int count);
/** Who may, and the fields (of REQUEST_RUN and REQUEST_CHECK): each by its type, in normal form afterwards.
 *  @return false: noted */
bool request_check(struct request *r, const struct sterna_command *c);
/** Ends it: what its form shows; or all commands that r->who may use at r->host. */
void request_describe(struct request *r, const struct found_command *f);
void request_list(struct request *r);
/** Each command with its outcome: a line of the log, and an event of the audit. */
void request_record(const struct request *r, const struct sterna_outcome *o);

#endif
