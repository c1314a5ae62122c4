/* http_file.h - files that come and go over HTTP, piece by piece: never a whole one in memory, and no loop that waits for a
 * disk. All of it is done on helper threads (work.h). Threads: the connection's worker. */
#ifndef STERNA_HTTP_FILE_H
#define STERNA_HTTP_FILE_H

#include "server/http_conn.h"

/** Take the request's body, of exactly size bytes, into a new file: under another name in the same folder, flushed, then
 *  linked; a file that is there already is left alone. Folders are made. Then the answer: 201, or 409, 507, 500. */
void http_file_save(struct http_conn *c, const char *path, uint64_t size);
/** Answer with a file, or the part of it that Range names. 404 if there is none. */
void http_file_send(struct http_conn *c, const char *path);
/** RFC 9110 §14.2: one range of a file of that size. @return STERNA_ENOTFOUND: send it whole; STERNA_ELIMIT: 416 */
enum sterna_result http_range(const char *header, uint64_t size, uint64_t *from, uint64_t *to) STERNA_CHECKED;

#endif
