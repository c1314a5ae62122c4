/* tls_dane.c - OpenSSL's DANE. */
#include "server/tls_dane.h"
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"

enum { RECORDS_MAX = 16 };

struct tls_dane {
	char *target;
	struct record {
		uint8_t usage, selector, matching;
		unsigned char *data;
		size_t len;
	} record[RECORDS_MAX];
	unsigned count;
};

struct tls_dane *tls_dane_new(const char *target)
{
	struct tls_dane *d = xalloc(sizeof *d);

	d->target = xstrdup(target);
	return d;
}

void tls_dane_add(struct tls_dane *d, uint8_t usage, uint8_t selector, uint8_t matching, const unsigned char *data, size_t len)
{
	struct record *r = &d->record[d->count];

	if (d->count == RECORDS_MAX)
		return;
	*r = (struct record){ usage, selector, matching, xalloc(len + 1), len };
	memcpy(r->data, data, len);
	d->count++;
}

void tls_dane_free(struct tls_dane **dane)
{
	struct tls_dane *d = *dane;

	*dane = NULL;
	if (d == NULL)
		return;
	for (unsigned i = 0; i < d->count; i++)
		free(d->record[i].data);
	free(d->target);
	free(d);
}

bool tls_dane_use(const struct tls_dane *d, SSL *ssl, const char *domain)
{
	if (d->count == 0)
		return true;
	if (SSL_dane_enable(ssl, d->target) != 1 || SSL_add1_host(ssl, domain) != 1) {
		ERR_clear_error();
		return false;
	}
	/* RFC 7671 §5.1: where the record is of the certificate itself, the names in it do not matter. */
	SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	/* If it can use none, OpenSSL goes on as without DANE (§10.3). */
	for (unsigned i = 0; i < d->count; i++) {
		const struct record *r = &d->record[i];

		(void)SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data, r->len);
	}
	ERR_clear_error();
	return true;
}
