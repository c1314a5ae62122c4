/* fetch.c - libcurl's "multi socket" interface on a loop: it says which descriptors and which time it waits for. */
#include "server/fetch.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "server/mem.h"

enum { BUFFER = 65536, IDLE_CONNECTIONS = 16 };

struct fetcher {
	CURLM *multi;
	struct loop *loop;
	struct timer timer;
	struct task task;                    /* looks for what has ended, when nobody stands in libcurl */
};

struct fetch {
	CURL *curl;
	struct fetcher *owner;
	struct curl_slist *headers;
	const struct fetch_handler *handler;
	void *arg;
	struct fetch_answer answer;
	bool paused_out, paused_in;
	char error[CURL_ERROR_SIZE];
};

struct watch {
	struct io io;
	struct fetcher *owner;
};

/* --- one request --- */

static size_t on_write(char *bytes, size_t one, size_t len, void *arg)
{
	struct fetch *f = arg;

	(void)one;
	if (f->handler->on_data == NULL || f->handler->on_data(f->arg, bytes, len))
		return len;
	f->paused_in = true;
	return CURL_WRITEFUNC_PAUSE;
}

static size_t on_read(char *bytes, size_t one, size_t len, void *arg)
{
	struct fetch *f = arg;
	const size_t n = f->handler->on_want(f->arg, bytes, one * len);

	if (n > 0)
		return n;
	f->paused_out = true;
	return CURL_READFUNC_PAUSE;
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	static const char name[] = "content-range:";
	struct fetch *f = arg;
	size_t n = len;

	(void)one;
	if (n >= 5 && strncmp(line, "HTTP/", 5) == 0) {
		long status = 0;

		curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
		f->answer = (struct fetch_answer){ .status = (unsigned)status, .length = -1 };
	}
	if (n < sizeof name - 1 || strncasecmp(line, name, sizeof name - 1) != 0)
		return len;
	line += sizeof name - 1;
	n -= sizeof name - 1;
	while (n > 0 && *line == ' ') {
		line++;
		n--;
	}
	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n'))
		n--;
	if (n < sizeof f->answer.range && memchr(line, '\0', n) == NULL) {
		memcpy(f->answer.range, line, n);
		f->answer.range[n] = '\0';
	}
	return len;
}

static void set_method(CURL *c, const struct fetch_request *r)
{
	if (strcmp(r->method, "HEAD") == 0) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	} else if (strcmp(r->method, "PUT") == 0) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_bytes);
	} else if (strcmp(r->method, "GET") != 0) {
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
	}
}

static void set_up(CURL *c, const struct fetch_request *r, char error[CURL_ERROR_SIZE], struct curl_slist **headers)
{
	for (size_t i = 0; r->headers != NULL && r->headers[i] != NULL; i++)
		*headers = curl_slist_append(*headers, r->headers[i]);
	*headers = curl_slist_append(*headers, "Expect:"); /* no second round trip for the leave to send */
	curl_easy_setopt(c, CURLOPT_URL, r->url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->connect_us / 1000));
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)((r->stall_us + 999999) / 1000000));
	if (r->authorities != NULL)
		curl_easy_setopt(c, CURLOPT_CAINFO, r->authorities);
	set_method(c, r);
}

static enum sterna_result result_of(CURLcode rc)
{
	return rc == CURLE_OK ? STERNA_OK : rc == CURLE_OPERATION_TIMEDOUT ? STERNA_ELIMIT : STERNA_EUNAVAILABLE;
}

static void fetch_free(struct fetch *f)
{
	curl_multi_remove_handle(f->owner->multi, f->curl);
	curl_easy_cleanup(f->curl);
	curl_slist_free_all(f->headers);
	free(f);
}

/* --- the loop's side --- */

static void look_for_ends(struct fetcher *o)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(o->multi, &left)) != NULL) {
		struct fetch *f = NULL;
		const CURLcode rc = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
		fetch_answer(f);
		f->handler->on_done(f->arg, result_of(rc), f->error[0] != '\0' ? f->error : curl_easy_strerror(rc));
		fetch_free(f);
	}
}

static void on_task(struct task *t, void *arg)
{
	(void)t;
	look_for_ends(arg);
}

static void act(struct fetcher *o, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(o->multi, fd, what, &running);
	look_for_ends(o);
}

static void on_io(struct io *io, unsigned what, void *arg)
{
	struct watch *w = arg;

	act(w->owner, io->fd, ((what & IO_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & IO_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct timer *t, void *arg)
{
	(void)t;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_want_timer(CURLM *multi, long ms, void *arg)
{
	struct fetcher *o = arg;

	(void)multi;
	if (ms < 0)
		timer_cancel(&o->timer);
	else
		timer_set(&o->timer, (uint64_t)ms * 1000);
	return 0;
}

static int on_want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct fetcher *o = arg;
	struct watch *w = sock;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			io_clear(&w->io);
		free(w);
		curl_multi_assign(o->multi, fd, NULL);
		return 0;
	}
	if (w == NULL) {
		w = xalloc(sizeof *w);
		w->owner = o;
		io_init(&w->io, o->loop, fd, on_io, w);
		curl_multi_assign(o->multi, fd, w);
	}
	io_watch(&w->io, ((what & CURL_POLL_IN) != 0 ? IO_READ : 0u) | ((what & CURL_POLL_OUT) != 0 ? IO_WRITE : 0u));
	return 0;
}

static struct fetcher *fetcher_of(struct worker *w)
{
	struct fetcher *o = w->fetcher;

	if (o != NULL)
		return o;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counted, and safe on threads: configure asks for 7.85 */
		return NULL;
	CURLM *multi = curl_multi_init();

	if (multi == NULL)
		return NULL;
	o = xalloc(sizeof *o);
	o->multi = multi;
	o->loop = w->loop;
	timer_init(&o->timer, w->loop, on_timer, o);
	task_init(&o->task, on_task, o);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, o);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, o);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
	w->fetcher = o;
	return o;
}

void fetcher_free(struct fetcher **op)
{
	struct fetcher *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	curl_multi_cleanup(o->multi);
	timer_cancel(&o->timer);
	loop_undefer(o->loop, &o->task);
	free(o);
}

/* --- for others --- */

enum sterna_result fetch_new(struct worker *w, const struct fetch_request *r, const struct fetch_handler *h, void *arg,
	struct fetch **out)
{
	struct fetcher *o = fetcher_of(w);
	CURL *c = o != NULL ? curl_easy_init() : NULL;

	if (c == NULL) {
		log_error("fetch", "libcurl cannot begin a request");
		return STERNA_EIO;
	}
	struct fetch *f = xalloc(sizeof *f);

	f->curl = c;
	f->owner = o;
	f->handler = h;
	f->arg = arg;
	f->answer.length = -1;
	set_up(c, r, f->error, &f->headers);
	curl_easy_setopt(c, CURLOPT_PRIVATE, f);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c, CURLOPT_READDATA, f);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
	if (curl_multi_add_handle(o->multi, c) != CURLM_OK) {
		log_error("fetch", "libcurl cannot begin a request");
		fetch_free(f);
		return STERNA_EIO;
	}
	*out = f;
	return STERNA_OK;
}

const struct fetch_answer *fetch_answer(const struct fetch *f)
{
	struct fetch *mine = (struct fetch *)(uintptr_t)f;
	curl_off_t length = -1;

	if (curl_easy_getinfo(f->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK)
		mine->answer.length = (int64_t)length;
	return &f->answer;
}

void fetch_resume(struct fetch *f)
{
	if (!f->paused_in && !f->paused_out)
		return;
	f->paused_in = f->paused_out = false;
	curl_easy_pause(f->curl, CURLPAUSE_CONT);
	loop_defer(f->owner->loop, &f->owner->task); /* it may have ended in there */
}

void fetch_cancel(struct fetch **fp)
{
	struct fetch *f = *fp;

	*fp = NULL;
	if (f != NULL)
		fetch_free(f);
}

static size_t swallow(char *bytes, size_t one, size_t len, void *arg)
{
	(void)bytes, (void)arg;
	return one * len;
}

enum sterna_result fetch_now(const struct fetch_request *r, unsigned *status)
{
	struct curl_slist *headers = NULL;
	char error[CURL_ERROR_SIZE] = "";
	CURL *c = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
	long code = 0;

	if (c == NULL)
		return STERNA_EUNAVAILABLE;
	set_up(c, r, error, &headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	const CURLcode rc = curl_easy_perform(c);

	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	*status = (unsigned)code;
	if (rc != CURLE_OK)
		log_debug("fetch", "a request has failed", "text", error[0] != '\0' ? error : curl_easy_strerror(rc));
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	return result_of(rc);
}
