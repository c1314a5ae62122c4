/* pie.h - accounts out to and in from a file in the portable format of XEP-0227 1.1.
 *
 * Blocking, for tools; on the storage, by a struct users. The file is streamed both ways: what is held at a time is
 * one element (a roster, a vCard, one archived message), never a host or a user. Threads: that of the users. */
#ifndef STERNA_PIE_H
#define STERNA_PIE_H

#include <stdio.h>
#include "server/elem.h"
#include "server/user.h"

#define NS_PIE "urn:xmpp:pie:0"
#define NS_PIE_SCRAM "urn:xmpp:pie:0#scram"
#define NS_PIE_MAM "urn:xmpp:pie:0#mam"
#define NS_PIE_STERNA "urn:sterna:pie:0"     /* ours: that an account is disabled */

/* --- reading (pie_read.c) --- */

/** Where a piece stood. */
enum pie_place { PIE_USER, PIE_OFFLINE, PIE_ARCHIVE };

struct pie_error {
	char file[256];
	unsigned long line;          /* 0: the file as such */
	char message[512];
};
struct pie_reader;
struct pie_handler {
	void (*user)(void *arg, struct pie_reader *r, const char *host, const char *name, const char *password);
	/** A child of <user/>, or of its <offline-messages/> or <archive/>; e lies in a, both borrowed. */
	void (*item)(void *arg, struct pie_reader *r, enum pie_place place, struct arena *a, struct sterna_elem *e);
	void (*user_end)(void *arg, struct pie_reader *r);
	/** An element of server-data or host that the format does not have. */
	void (*unknown)(void *arg, struct pie_reader *r, const char *ns, const char *name);
	void (*progress)(void *arg, uint64_t done, uint64_t total);  /* bytes of the main file; may be NULL */
};
/** Read a file and those it includes (XInclude: relative, below its own folder, as child of server-data, host or user).
 *  No DTD; a piece has at most 16 MiB, 100 levels, 200,000 elements.
 *  @return STERNA_EINVAL, STERNA_ELIMIT, STERNA_EIO: err says where and what; or what pie_refuse() gave */
enum sterna_result pie_read(const char *path, const struct pie_handler *h, void *arg, struct pie_error *err)
	STERNA_CHECKED;
/** From a handler: stop here with that result and message. */
void pie_refuse(struct pie_reader *r, enum sterna_result rc, const char *fmt, ...) STERNA_PRINTF(3, 4);
void pie_place(const struct pie_reader *r, const char **file, unsigned long *line); /**< where we are */

/* --- import, export --- */

struct pie_counts {
	uint64_t users, contacts, messages, waiting, others;
	uint64_t without_password, left_out;
};
struct pie_options {
	const char *host;            /* export: this host only; NULL: all */
	const struct jid *account;   /* export: this account only; NULL: all */
	bool dry;                    /* import: check only */
	/** What is left out, and why; file NULL in an export. May be NULL. */
	void (*left_out)(void *arg, const char *file, unsigned long line, const char *what);
	void (*progress)(void *arg, uint64_t done, uint64_t total);  /* accounts; bytes. May be NULL */
	/** import: an account's rows are committed. May be NULL. */
	void (*imported)(void *arg, const char *jid);
	void *arg;
};
/** @return STERNA_ENOTFOUND there is no such account; STERNA_EIO out cannot be written, or as user.h */
enum sterna_result pie_export(struct users *u, FILE *out, const struct pie_options *o, struct pie_counts *counts)
	STERNA_CHECKED;
/** Checks all of the file, then stores it. Can be repeated: what is there already is replaced (keys, contacts, vCard,
 *  private XML) or left as it is (messages).
 *  @return as pie_read(), and nothing was written; or what the database said: err says at which line */
enum sterna_result pie_import(struct users *u, const char *path, const struct pie_options *o, struct pie_counts *counts,
	struct pie_error *err) STERNA_CHECKED;

#endif
