/* demo.c - two people chat: what a newcomer sees of a running server, told in plain words.
 *
 *     demo CREDENTIALS ADDRESS PORT CERTIFICATE
 *
 * CREDENTIALS holds a line `jid password` for each account, of which the first two are used; CERTIFICATE is the
 * server's, to be trusted. Both log in over TLS with libstrophe, talk, one is cut off without a word, misses a
 * message, comes back and gets it. Exit status 0 if all of it happened, else 1. */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <strophe.h>

#define PATIENCE_MS 15000
#define TURN_MS 20
#define TEXT_MAX 256

struct place { const char *address, *certificate; unsigned short port; };

struct person {
	char jid[TEXT_MAX], password[TEXT_MAX];
	const char *name;               /* ours: the part before the @ */
	char full[TEXT_MAX];            /* jid with the resource asked for */
	xmpp_conn_t *conn;
	xmpp_sm_state_t *session;       /* what libstrophe knows of the session that was cut off (XEP-0198) */
	int fd;
	bool online, gone, there;
	char heard[TEXT_MAX];           /* the last message */
	unsigned count;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool wait_for(xmpp_ctx_t *ctx, const bool *what)
{
	const int64_t end = now_ms() + PATIENCE_MS;

	while (!*what && now_ms() < end)
		xmpp_run_once(ctx, TURN_MS);
	return *what;
}

static bool wait_for_text(xmpp_ctx_t *ctx, const struct person *p, const char *text)
{
	const int64_t end = now_ms() + PATIENCE_MS;

	while (strcmp(p->heard, text) != 0 && now_ms() < end)
		xmpp_run_once(ctx, TURN_MS);
	return strcmp(p->heard, text) == 0;
}

static int on_message(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *arg)
{
	struct person *p = arg;
	char *text = NULL;
	xmpp_stanza_t *body = xmpp_stanza_get_child_by_name(stanza, "body");

	if (body != NULL)
		text = xmpp_stanza_get_text(body);
	if (text != NULL) {
		snprintf(p->heard, sizeof p->heard, "%s", text);
		p->count++;
		xmpp_free(xmpp_conn_get_context(conn), text);
	}
	return 1;
}

/* The own presence that comes back says that the server has taken note of it. */
static int on_presence(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *arg)
{
	struct person *p = arg;
	const char *from = xmpp_stanza_get_from(stanza), *bound = xmpp_conn_get_bound_jid(conn);

	if (from != NULL && bound != NULL && strcmp(from, bound) == 0)
		p->there = true;
	return 1;
}

/* libstrophe shows the socket to a callback without an argument, from within the call that connects. */
static int last_socket;

static int on_socket(xmpp_conn_t *conn, void *fd)
{
	(void)conn;
	last_socket = *(int *)fd;
	return 0;
}

static void on_event(xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error, void *arg)
{
	struct person *p = arg;

	(void)error;
	if (event == XMPP_CONN_CONNECT) {
		p->online = true;
		xmpp_handler_add(conn, on_message, NULL, "message", NULL, p);
		xmpp_handler_add(conn, on_presence, NULL, "presence", NULL, p);
	} else {
		p->gone = true;
		if (stream_error != NULL && stream_error->text != NULL)
			printf("(the server says to %s: %s)\n", p->name, stream_error->text);
	}
}

static bool log_in(xmpp_ctx_t *ctx, struct person *p, const struct place *at)
{
	const bool again = p->session != NULL;

	p->online = p->gone = p->there = false;
	p->conn = xmpp_conn_new(ctx);
	if (p->conn == NULL)
		return false;
	xmpp_conn_set_jid(p->conn, p->full);
	xmpp_conn_set_pass(p->conn, p->password);
	xmpp_conn_set_cafile(p->conn, at->certificate);
	xmpp_conn_set_flags(p->conn, XMPP_CONN_FLAG_MANDATORY_TLS);
	xmpp_conn_set_sockopt_callback(p->conn, on_socket);
	if (again && xmpp_conn_set_sm_state(p->conn, p->session) == XMPP_EOK)
		p->session = NULL;      /* the connection's now */
	if (xmpp_connect_client(p->conn, at->address, at->port, on_event, p) != XMPP_EOK || !wait_for(ctx, &p->online)) {
		printf("%s cannot log in at %s port %u.\n", p->name, at->address, at->port);
		return false;
	}
	p->fd = last_socket;
	return true;
}

static bool appear(xmpp_ctx_t *ctx, struct person *p)
{
	xmpp_stanza_t *presence = xmpp_presence_new(ctx);

	xmpp_send(p->conn, presence);
	xmpp_stanza_release(presence);
	return wait_for(ctx, &p->there);
}

static void say(xmpp_ctx_t *ctx, const struct person *from, const struct person *to, const char *text)
{
	xmpp_stanza_t *message = xmpp_message_new(ctx, "chat", to->jid, NULL);

	xmpp_message_set_body(message, text);
	xmpp_send(from->conn, message);
	xmpp_stanza_release(message);
}

static bool talk(xmpp_ctx_t *ctx, const struct person *from, struct person *to, const char *text)
{
	say(ctx, from, to, text);
	if (!wait_for_text(ctx, to, text)) {
		printf("%s's message did not reach %s.\n", from->name, to->name);
		return false;
	}
	printf("%s to %s: %s\n", from->name, to->name, text);
	return true;
}

/* The socket goes, the server hears no word of it; libstrophe notices and keeps the session's state. */
static bool cut_off(xmpp_ctx_t *ctx, struct person *p)
{
	shutdown(p->fd, SHUT_RDWR);
	if (!wait_for(ctx, &p->gone))
		return false;
	p->session = xmpp_conn_get_sm_state(p->conn);
	xmpp_conn_release(p->conn);
	p->conn = NULL;
	return true;
}

static void leave(xmpp_ctx_t *ctx, struct person *p)
{
	if (p->conn != NULL) {
		if (p->online && !p->gone) {
			xmpp_disconnect(p->conn);
			wait_for(ctx, &p->gone);
		}
		xmpp_conn_release(p->conn);
	}
	if (p->session != NULL)
		xmpp_free_sm_state(p->session);
}

static bool play(xmpp_ctx_t *ctx, struct person *a, struct person *b, const struct place *at)
{
	static const char missed[] = "Are you still there? This one must not get lost.";

	if (!log_in(ctx, a, at) || !log_in(ctx, b, at))
		return false;
	printf("%s and %s have logged in over TLS.\n", a->name, b->name);
	if (!appear(ctx, a) || !appear(ctx, b)) {
		printf("The server does not answer their presence.\n");
		return false;
	}
	if (!talk(ctx, a, b, "Hello, can you read this?") || !talk(ctx, b, a, "Yes, loud and clear."))
		return false;
	if (!cut_off(ctx, b))
		return false;
	printf("%s's connection is cut off, without a goodbye.\n", b->name);
	say(ctx, a, b, missed);
	printf("%s to %s, who is away: %s\n", a->name, b->name, missed);
	b->count = 0;
	if (!log_in(ctx, b, at))
		return false;
	printf("%s is back.\n", b->name);
	/* A session that could not be resumed gets what it missed once it is available (XEP-0160). */
	if (!wait_for_text(ctx, b, missed) && !appear(ctx, b))
		return false;
	if (!wait_for_text(ctx, b, missed)) {
		printf("The message that %s missed has not come.\n", b->name);
		return false;
	}
	printf("%s gets the missed message: %s\n", b->name, b->heard);
	if (!talk(ctx, b, a, "Nothing lost. I am still here."))
		return false;
	if (b->count != 1) {
		printf("%s got the missed message %u times.\n", b->name, b->count);
		return false;
	}
	return true;
}

static bool read_person(FILE *file, struct person *p, const char *resource)
{
	char *at;

	if (fscanf(file, "%255s %255s", p->jid, p->password) != 2 || (at = strchr(p->jid, '@')) == NULL)
		return false;
	if (snprintf(p->full, sizeof p->full, "%s/%s", p->jid, resource) >= (int)sizeof p->full)
		return false;
	p->name = strndup(p->jid, (size_t)(at - p->jid));
	return p->name != NULL;
}

int main(int argc, char **argv)
{
	struct person a = { .fd = -1 }, b = { .fd = -1 };
	bool done = false;

	if (argc != 5) {
		fprintf(stderr, "usage: demo CREDENTIALS ADDRESS PORT CERTIFICATE\n");
		return 1;
	}
	FILE *file = fopen(argv[1], "r");
	if (file == NULL) {
		perror(argv[1]);
		return 1;
	}
	if (!read_person(file, &a, "demo") || !read_person(file, &b, "demo")) {
		fprintf(stderr, "%s: two lines of `jid password` are wanted\n", argv[1]);
	} else {
		const struct place at = { argv[2], argv[4], (unsigned short)strtoul(argv[3], NULL, 10) };

		setvbuf(stdout, NULL, _IOLBF, 0);
		signal(SIGPIPE, SIG_IGN);       /* libstrophe may still write to the socket that was cut */
		xmpp_initialize();
		xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, xmpp_get_default_logger(getenv("DEMO_DEBUG") != NULL ?
			XMPP_LEVEL_DEBUG : XMPP_LEVEL_ERROR));
		done = play(ctx, &a, &b, &at);
		leave(ctx, &a);
		leave(ctx, &b);
		xmpp_ctx_free(ctx);
		xmpp_shutdown();
		puts(done ? "All of it worked." : "The demonstration failed.");
	}
	fclose(file);
	free((char *)a.name);
	free((char *)b.name);
	return done ? 0 : 1;
}
