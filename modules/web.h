/* web.h - the pages that people see: the parts of the module "web", and what they share.
 * Threads: what struct web holds does not change; pages are made on any worker. */
#ifndef MODULES_WEB_H
#define MODULES_WEB_H

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

/* --- web_html.c: what all pages share --- */

/** The domain of ours that this request is about: by the Host header, or by http.url, or the only one. False: 404 was
 *  answered. host: the domain as XMPP writes it. */
bool web_host(struct sterna_mod *m, struct sterna_http_request *r, char host[STERNA_HOST_LEN]);
bool web_is_below(const char *domain, const char *host);               /**< "upload.example.org", "example.org" */
/** What the operator calls the service; else its domain. */
const char *web_name(struct sterna_mod *m, const char *host);
void web_begin(struct buf *out, const char *title);
void web_text(struct buf *out, const char *text);                       /**< escaped, for text and attributes */
/** The operator's links, the foot, the end. */
void web_end(struct buf *out, struct sterna_mod *m);
/** Answer with a page: takes its bytes, empties out. Nothing but our own styles and pictures is loaded by it. */
void web_page(struct sterna_http_request *r, unsigned status, struct buf *out);
/** A page that says no more than this. */
void web_note(struct sterna_mod *m, struct sterna_http_request *r, unsigned status, const char *title, const char *text);
/** The programs that people may choose from. */
void web_apps(struct buf *out);
void web_get_style(struct sterna_mod *m, struct sterna_http_request *r);
void web_get_icon(struct sterna_mod *m, struct sterna_http_request *r);

/* --- the pages --- */

#define WEB_CHAT "/chat/"
#define WEB_CHAT_FILES WEB_CHAT "dist/"

void web_get_home(struct sterna_mod *m, struct sterna_http_request *r);
void web_get_invite(struct sterna_mod *m, struct sterna_http_request *r);
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
