/* web_files.c - the files of the web client. Which there are is looked at once, at start, and only what was found then is
 * served: what a browser asks for is compared with that list and never made into a path. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "modules/web.h"

enum { FILES_MAX = 4096, DEPTH_MAX = 8 };

static const char *type_of(const char *path)
{
	static const struct { const char *end, *type; } types[] = {
		{ ".js", "text/javascript; charset=utf-8" }, { ".css", "text/css; charset=utf-8" }, { ".json", "application/json" },
		{ ".wasm", "application/wasm" }, { ".svg", "image/svg+xml" }, { ".png", "image/png" }, { ".ico", "image/x-icon" },
		{ ".gif", "image/gif" }, { ".webp", "image/webp" }, { ".jpg", "image/jpeg" }, { ".mp3", "audio/mpeg" },
		{ ".ogg", "audio/ogg" }, { ".ttf", "font/ttf" }, { ".woff", "font/woff" }, { ".woff2", "font/woff2" },
	};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot != NULL && i < sizeof types / sizeof *types; i++)
		if (strcmp(dot, types[i].end) == 0)
			return types[i].type;
	return NULL;
}

static void add_file(struct web *w, const char *path, char *file, const struct stat *st)
{
	struct web_file *f;
	struct stat packed;

	if (w->file_count == FILES_MAX || type_of(path) == NULL) {
		free(file);
		return;
	}
	if ((w->file_count & (w->file_count - 1)) == 0) /* 0, 1, 2, 4, …: twice the room */
		w->files = xrealloc(w->files, (w->file_count > 0 ? 2 * w->file_count : 1) * sizeof *w->files);
	f = &w->files[w->file_count++];
	*f = (struct web_file){ .path = xstrdup(path), .file = file, .type = type_of(path), .packed = xasprintf("%s.gz", file) };
	if (lstat(f->packed, &packed) != 0 || !S_ISREG(packed.st_mode)) {
		free(f->packed);
		f->packed = NULL;
	}
	snprintf(f->tag, sizeof f->tag, "\"%llx-%llx\"", (unsigned long long)st->st_mtim.tv_sec, (unsigned long long)st->st_size);
}

/* Regular files and folders alone: no link leads elsewhere. */
static void read_folder(struct web *w, const char *folder, const char *below, unsigned depth)
{
	DIR *d = depth < DEPTH_MAX ? opendir(folder) : NULL;
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *file, *path;
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s", folder, e->d_name);
		path = xasprintf("%s%s", below, e->d_name);
		if (lstat(file, &st) == 0 && S_ISREG(st.st_mode)) {
			add_file(w, path, file, &st);
			file = NULL;
		} else if (S_ISDIR(st.st_mode)) {
			char *deeper = xasprintf("%s/", path);

			read_folder(w, file, deeper, depth + 1);
			free(deeper);
		}
		free(path);
		free(file);
	}
	if (d != NULL)
		closedir(d);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct web_file *)a)->path, ((const struct web_file *)b)->path);
}

static const struct web_file *find(const struct web *w, const char *path)
{
	const struct web_file key = { .path = (char *)path };

	return w->file_count > 0 ? bsearch(&key, w->files, w->file_count, sizeof key, by_path) : NULL;
}

void web_files_read(struct web *w, const char *folder)
{
	read_folder(w, folder, "", 0);
	if (w->file_count > 0)
		qsort(w->files, w->file_count, sizeof *w->files, by_path);
}

void web_files_free(struct web *w)
{
	for (size_t i = 0; i < w->file_count; i++) {
		free(w->files[i].path);
		free(w->files[i].file);
		free(w->files[i].packed);
	}
	free(w->files);
}

bool web_has_client(struct sterna_mod *m)
{
	const struct web_config *cfg = sterna_mod_config(m);

	return cfg->client && find(sterna_mod_data(m), "converse.min.js") != NULL;
}

/* RFC 9110 §12.5.3, as browsers write it: "gzip, deflate, br". */
static bool takes_gzip(const struct sterna_http_request *r)
{
	const char *accepted = sterna_http_header(r, "Accept-Encoding");
	const char *at = accepted != NULL ? strstr(accepted, "gzip") : NULL;

	return at != NULL && strncmp(at + 4, ";q=0", 4) != 0;
}

void web_get_file(struct sterna_mod *m, struct sterna_http_request *r)
{
	const struct web_file *f = web_has_client(m)
		? find(sterna_mod_data(m), sterna_http_path(r) + strlen(WEB_CHAT_FILES)) : NULL;
	const char *known = sterna_http_header(r, "If-None-Match");

	if (f == NULL) {
		web_note(m, r, 404, W_NOT_FOUND, W_NOTHING_HERE);
		return;
	}
	sterna_http_add_header(r, "Cache-Control", "public, max-age=3600");
	sterna_http_add_header(r, "ETag", f->tag);
	sterna_http_add_header(r, "Vary", "Accept-Encoding");
	if (known != NULL && strstr(known, f->tag) != NULL) {
		sterna_http_reply(r, 304, NULL, NULL, 0);
		return;
	}
	if (strncmp(f->type, "image/", 6) == 0)
		sterna_http_add_header(r, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox");
	if (f->packed != NULL && takes_gzip(r)) {
		sterna_http_add_header(r, "Content-Encoding", "gzip");
		sterna_http_send(r, f->packed, f->type);
		return;
	}
	sterna_http_send(r, f->file, f->type);
}
