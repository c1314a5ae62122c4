/* tls_ticket.h - keys of TLS session tickets, which change every 12 hours; for tls.c. Threads: any (a lock). */
#ifndef STERNA_TLS_TICKET_H
#define STERNA_TLS_TICKET_H

#include <openssl/ssl.h>

struct tls_tickets;
struct tls_tickets *tls_tickets_new(void);
void tls_tickets_free(struct tls_tickets **t);
/** Make ctx use tickets with these keys, which must outlive it. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx);

#endif
