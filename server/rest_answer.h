/* rest_answer.h - values on their way through the API: fields from a query or from JSON, results in pages, problems.
 * Threads: pure. */
#ifndef STERNA_REST_ANSWER_H
#define STERNA_REST_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include "server/buf.h"
#include "server/result.h"

/** Which part of a long result. */
struct rest_page {
	size_t number, size;             /* from 0; rows */
};

/** A query ("jid=a%40b&limit=3") as fields: text, or an array of texts where a name comes again. page and page-size are
 *  taken out into *page. New in *out. @return STERNA_EINVAL field (borrowed from *out's memory or static) is at fault */
enum sterna_result rest_query(const char *query, size_t page_max, struct rest_page *page, json_t **out, const char **why)
	STERNA_CHECKED;
/** A body as fields: numbers and truth values become texts; an object with others in it is refused. len 0: none.
 *  field: static or within *bytes*' parse, copied into name (size). @return STERNA_EINVAL */
enum sterna_result rest_body(const char *bytes, size_t len, json_t **out, char *name, size_t size) STERNA_CHECKED;

/** {"result": …, "page": {number, size, total, next}}: arrays, and arrays in an object, are cut to the page. New. */
json_t *rest_result(const json_t *result, const struct rest_page *page);
/** RFC 9457, as text into out. field may be NULL. */
void rest_problem(struct buf *out, unsigned status, const char *code, const char *field, const char *text);
/** Of a code of struct sterna_outcome. */
unsigned rest_status(const char *code, bool has_field);

#endif
