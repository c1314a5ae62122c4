/* xml_impl.h - a parser's inside, shared by xml.c (input) and xml_tree.c (expat and the tree). */
#ifndef STERNA_XML_IMPL_H
#define STERNA_XML_IMPL_H

#include <expat.h>
#include "server/xml_scan.h"

struct xml_account {             /* the memory of one expat parser */
	size_t used, limit;
};

/* An expat parser with its account: it serves one xml_parser after the other. */
struct xml_engine {
	XML_Parser expat;
	struct xml_account account;
	unsigned long salt;
	struct xml_engine *next;     /* in the pool */
};

struct xml_pool {
	struct xml_engine *free;
	unsigned count;
};

struct xml_parser {
	const struct xml_handler *handler;
	void *arg;
	const struct xml_limits *limits;
	char *content_ns;            /* or NULL */
	struct xml_engine *engine;   /* NULL: nothing parsed yet, or asleep */
	struct xml_pool *pool;       /* where it comes from and goes to; NULL: made and freed */
	const char *fixed_root;      /* xml_use_root(), or NULL */
	struct xml_scan scan;
	struct buf in;               /* the scanner's window, when it outlives a call */
	struct buf text;             /* character data of the text node in the making */
	struct buf decls;            /* the root's namespace declarations, as text */
	char *root_tag;              /* its start tag without attributes, to wake up with */
	char *default_ns;            /* declared on the root, or NULL */
	const char *root_name;       /* qualified, borrowed while the root's tag is parsed */
	size_t root_name_len;
	struct arena *arena;         /* of the element in the making */
	struct arena *into;          /* xml_parse(): build here */
	struct sterna_elem *at;      /* innermost open element, NULL between stanzas */
	struct sterna_elem *ready;   /* complete: the root's tag or a first-level element */
	unsigned depth, elements, namespaces;
	size_t ns_bytes;             /* what the writer would spend on namespaces in this stanza */
	enum xml_error error;
	const char *error_text;
	bool parsing;                /* inside XML_Parse() */
	bool waking;                 /* parsing root_tag */
	bool in_call;                /* inside xml_feed() or xml_resume() */
	bool stopped, closed, reset_wanted, free_wanted;
};

void xml_fail(struct xml_parser *p, enum xml_error error, const char *text);
/** Give bytes to expat, which is made or woken first. Trees come out in .ready. */
void xml_tree_feed(struct xml_parser *p, const char *bytes, size_t len);
void xml_tree_drop_engine(struct xml_parser *p);
void xml_engine_free(struct xml_engine *e);
size_t xml_tree_budget(const struct xml_limits *limits); /**< bytes that expat may hold */

#endif
