/* s3.h - the protocol of object stores (Amazon S3 and what is compatible): a bucket, and requests signed by version 4 of
 * its signatures. What is uploaded is not hashed (UNSIGNED-PAYLOAD): TLS covers it. Pure; no state. */
#ifndef STERNA_S3_H
#define STERNA_S3_H

#include <stdbool.h>
#include <stdint.h>
#include "server/buf.h"
#include "server/module.h"
#include "server/result.h"

/** What a request needs: where it goes, and its headers. */
struct s3_request {
	char *url;
	char *headers[4];            /* "Name: value" */
};

/** Sign a request for one object.
 *  @param key    of the object, below the bucket's prefix; "" : the bucket itself
 *  @param body   something is sent along with it
 *  @param query  "max-keys=2&prefix=J": sorted, percent-encoded; "" without
 *  @param now    Unix time; the store refuses one that is some minutes off
 *  @param[out] out  new, give it back with s3_request_clear() */
void s3_sign(const struct sterna_bucket *b, const char *method, const char *key, const char *query, bool body,
	int64_t now, struct s3_request *out);
void s3_request_clear(struct s3_request *r);

#endif
