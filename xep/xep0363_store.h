/* xep0363_store.h - where uploaded files lie: in a folder for each day, or in a bucket of an object store (S3). A file is
 * known by its slot's id, whose first 8 characters are the day. */
#ifndef XEP_XEP0363_STORE_H
#define XEP_XEP0363_STORE_H

#include "xep/xep0363_quota.h"

struct upload_store;
extern const struct sterna_option upload_bucket_options[];

/** In load(): as configured. @return STERNA_EINVAL the bucket cannot be used; STERNA_EIO (both logged) */
enum sterna_result upload_store_new(struct sterna_mod *m, struct upload_store **out) STERNA_CHECKED;
void upload_store_free(struct upload_store **s);
/** Are files and their rows removed by the store's own thread? Then the rows of files that are to go stay for it: their owner
 *  is "". Else whoever takes a row away removes the file. */
bool upload_store_cleans(const struct upload_store *s);
/** For HTTP: the answer is theirs. type: static. */
void upload_store_save(struct upload_store *s, struct sterna_http_request *r, const char *id, uint64_t size);
void upload_store_send(struct upload_store *s, struct sterna_http_request *r, const char *id, const char *type);
/** Where it does not clean itself: one file; all of days before that time (Unix). */
void upload_store_remove(struct upload_store *s, const char *id);
void upload_store_purge(struct upload_store *s, int64_t before);

#endif
