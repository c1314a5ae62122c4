/* http_object.h - as http_file.h, with an object store (S3) in place of the disk: what clients send and get passes through
 * us, so that names, headers and quotas are ours, a piece at a time. Threads: the connection's worker. */
#ifndef STERNA_HTTP_OBJECT_H
#define STERNA_HTTP_OBJECT_H

#include "server/http_conn.h"

/** Take the request's body, of exactly size bytes, into a new object; one that is there already is left alone. Then the
 *  answer: 201, or 409; 502 or 504 where the store is away, refuses, or is slow. The store itself makes an object appear as
 *  a whole or not at all. */
void http_object_save(struct http_conn *c, const struct sterna_bucket *b, const char *key, uint64_t size);
/** Answer with an object, or the part of it that Range names. 404 if there is none; else as above. */
void http_object_send(struct http_conn *c, const struct sterna_bucket *b, const char *key);

#endif
