/* s3.c - AWS Signature Version 4, for requests with three headers of their own. */
#include "server/s3.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/mem.h"

enum { DIGEST = 32, HEX = 2 * DIGEST + 1 };
#define NO_PAYLOAD "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* SHA-256 of nothing */
#define SIGNED_HEADERS "host;x-amz-content-sha256;x-amz-date"

static void to_hex(const unsigned char *bytes, char out[HEX])
{
	for (unsigned i = 0; i < DIGEST; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void hash(const char *text, size_t len, char out[HEX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, out);
}

static void mac(const void *key, size_t key_len, const char *text, unsigned char out[DIGEST])
{
	HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out, NULL);
}

const char *sterna_bucket_wrong(const struct sterna_bucket *b)
{
	const char *host = strncmp(b->endpoint, "https://", 8) == 0 ? b->endpoint + 8
		: strncmp(b->endpoint, "http://", 7) == 0 ? b->endpoint + 7 : NULL;

	if (host == NULL || *host == '\0' || strpbrk(host, "/?#@ ") != NULL)
		return "endpoint must be https://HOST or https://HOST:PORT, without a path";
	if (b->bucket == NULL || *b->bucket == '\0' || strspn(b->bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(b->bucket))
		return "bucket must be the name of a bucket";
	if (b->access_key == NULL || b->secret_key == NULL || *b->access_key == '\0' || *b->secret_key == '\0')
		return "access_key and secret_key are needed";
	if (b->prefix != NULL && (*b->prefix == '/' || strstr(b->prefix, "//") != NULL))
		return "prefix must not begin with a slash";
	return NULL;
}

/* A path, encoded but for its slashes. */
static void add_path(struct buf *out, const char *path)
{
	while (*path != '\0') {
		const size_t n = strcspn(path, "/");
		char *part = xstrndup(path, n);

		buf_percent(out, part);
		free(part);
		path += n;
		if (*path == '/') {
			buf_putc(out, '/');
			path++;
		}
	}
}

/* The key of a day and place, from the secret one. */
static void signing_key(const struct sterna_bucket *b, const char *day, unsigned char key[DIGEST])
{
	char *first = xasprintf("AWS4%s", b->secret_key);

	mac(first, strlen(first), day, key);
	OPENSSL_cleanse(first, strlen(first));
	free(first);
	mac(key, DIGEST, b->region, key);
	mac(key, DIGEST, "s3", key);
	mac(key, DIGEST, "aws4_request", key);
}

static void sign(const struct sterna_bucket *b, const char *canonical, const char *stamp, char signature[HEX])
{
	unsigned char key[DIGEST], digest[DIGEST];
	char hashed[HEX], *text;

	hash(canonical, strlen(canonical), hashed);
	text = xasprintf("AWS4-HMAC-SHA256\n%s\n%.8s/%s/s3/aws4_request\n%s", stamp, stamp, b->region, hashed);
	char day[9];

	memcpy(day, stamp, 8);
	day[8] = '\0';
	signing_key(b, day, key);
	mac(key, sizeof key, text, digest);
	to_hex(digest, signature);
	OPENSSL_cleanse(key, sizeof key);
	free(text);
}

void s3_sign(const struct sterna_bucket *b, const char *method, const char *key, const char *query, bool body,
	int64_t now, struct s3_request *out)
{
	const char *host = strstr(b->endpoint, "://") + 3, *payload = body ? "UNSIGNED-PAYLOAD" : NO_PAYLOAD;
	char *full_host = b->path_style ? xstrdup(host) : xasprintf("%s.%s", b->bucket, host), stamp[20], signature[HEX];
	struct buf path = BUF_INIT, canonical = BUF_INIT;
	const time_t t = (time_t)now;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	buf_putc(&path, '/');
	if (b->path_style)
		buf_puts(&path, b->bucket);
	if (b->path_style && *key != '\0')
		buf_putc(&path, '/');
	if (*key != '\0' && b->prefix != NULL)
		add_path(&path, b->prefix);
	add_path(&path, key);
	buf_addf(&canonical, "%s\n%s\n%s\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n" SIGNED_HEADERS "\n%s",
		method, buf_str(&path), query, full_host, payload, stamp, payload);
	sign(b, buf_str(&canonical), stamp, signature);
	out->url = xasprintf("%.*s://%s%s%s%s", (int)(strstr(b->endpoint, "://") - b->endpoint), b->endpoint, full_host, buf_str(&path),
		*query != '\0' ? "?" : "", query);
	out->headers[0] = xasprintf("Authorization: AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request, SignedHeaders="
		SIGNED_HEADERS ", Signature=%s", b->access_key, stamp, b->region, signature);
	out->headers[1] = xasprintf("x-amz-content-sha256: %s", payload);
	out->headers[2] = xasprintf("x-amz-date: %s", stamp);
	out->headers[3] = xasprintf("Host: %s", full_host); /* as it was signed, also with a port that need not be said */
	buf_release(&path);
	buf_release(&canonical);
	free(full_host);
}

void s3_request_clear(struct s3_request *r)
{
	free(r->url);
	for (unsigned i = 0; i < 4; i++)
		free(r->headers[i]);
	*r = (struct s3_request){ 0 };
}
