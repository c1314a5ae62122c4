/* web.h - the pages that people see: the parts of the module "web", and what they share.
 * Threads: what struct web holds does not change; pages are made on any worker. */
#ifndef MODULES_WEB_H
#define MODULES_WEB_H

#include "modules/web_lang.h"
#include "server/module.h"

struct invite_api;

struct web_config {
	const char *name, *about;
	struct sterna_pairs links;
	bool client;
	const char *client_folder;
};

/** A file of the web client. */
struct web_file {
	char *path;                          /* below the folder, as the browser asks for it */
	char *file;                          /* on disk */
	const char *type;
	char *packed;                        /* on disk, compressed by gzip; NULL: there is none */
	char tag[40];                        /* its ETag */
};

struct web {
	struct web_file *files;              /* by path */
	size_t file_count;
	const struct invite_api *invite;     /* NULL: there are no invitations */
};

/** A page that is being made. */
struct web_page {
	struct sterna_mod *mod;
	struct sterna_http_request *request;
	struct buf out;
	enum web_lang lang;                  /* the asker's */
	bool form;                           /* it has one, which is sent to us */
};

/* --- web_html.c: what all pages share --- */

/** The domain of ours that this request is about: by the Host header, or by http.url, or the only one. False: 404 was
 *  answered. host: the domain as XMPP writes it. */
bool web_host(struct sterna_mod *m, struct sterna_http_request *r, char host[STERNA_HOST_LEN]);
bool web_is_below(const char *domain, const char *host);               /**< "upload.example.org", "example.org" */
/** What the operator calls the service; else its domain. */
const char *web_name(struct sterna_mod *m, const char *host);
void web_text(struct buf *out, const char *text);                       /**< escaped, for text and attributes */
/** Begin one, in the language of who asks; title: a word that argument is put into (NULL: none). */
void web_begin(struct web_page *p, struct sterna_mod *m, struct sterna_http_request *r, enum web_word title, const char *argument);
/** Say a text; argument: put in for its {}, escaped; may be NULL. */
void web_say(struct web_page *p, enum web_word w, const char *argument);
/** The same as an element without attributes: "h1". */
void web_element(struct web_page *p, const char *name, enum web_word w, const char *argument);
/** The operator's links, the foot, the end; and answer with it. Nothing but our own styles and pictures is loaded by it. */
void web_end(struct web_page *p, unsigned status);
/** A page that says no more than this. */
void web_note(struct sterna_mod *m, struct sterna_http_request *r, unsigned status, enum web_word title, enum web_word text);
/** The programs that people may choose from. */
void web_apps(struct web_page *p);
/** The service's name above a page. */
void web_header(struct web_page *p, const char *host);
void web_get_style(struct sterna_mod *m, struct sterna_http_request *r);
void web_get_icon(struct sterna_mod *m, struct sterna_http_request *r);

/* --- the pages --- */

#define WEB_CHAT "/chat/"
#define WEB_CHAT_FILES WEB_CHAT "dist/"

void web_get_home(struct sterna_mod *m, struct sterna_http_request *r);
void web_get_invite(struct sterna_mod *m, struct sterna_http_request *r);
void web_post_invite(struct sterna_mod *m, struct sterna_http_request *r);   /**< an account is made on its page */
/** A QR code (ISO/IEC 18004) as SVG. @return false: the text is too long for one */
bool web_qr(struct buf *out, const char *text, const char *label);

/* --- web_files.c: the web client's files --- */

/** Look once which files are there: no path that a browser sends reaches the disk. */
void web_files_read(struct web *w, const char *folder);
void web_files_free(struct web *w);
bool web_has_client(struct sterna_mod *m);
void web_get_file(struct sterna_mod *m, struct sterna_http_request *r);
void web_get_chat(struct sterna_mod *m, struct sterna_http_request *r);
void web_get_chat_config(struct sterna_mod *m, struct sterna_http_request *r);

#endif
