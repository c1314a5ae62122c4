/* ctl_client.c - asks the running server over its control socket: a line of JSON there, a line back. */
#include "server/ctl.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20, ANSWER_SECONDS = 90 };

static enum ctl_exit dial(const char *path, bool quiet, int *out)
{
	const struct timeval wait = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof addr.sun_path)
		return ctl_fail(CTL_CONFIG, "server.control: the path is longer than %zu bytes", sizeof addr.sun_path - 1);
	strcpy(addr.sun_path, path);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return ctl_fail(CTL_FAILED, "no socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) != 0) {
		const int why = errno;

		close(fd);
		if (why != ENOENT && why != ECONNREFUSED)
			return ctl_fail(CTL_FAILED, "cannot reach the server at '%s': %s", path, strerror(why));
		return quiet ? CTL_NO_SERVER : ctl_fail(CTL_NO_SERVER, "the server is not running (no one at '%s')", path);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	*out = fd;
	return CTL_OK;
}

static bool send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		const ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive_line(int fd, struct buf *in)
{
	while (buf_len(in) < ANSWER_MAX) {
		const ssize_t n = recv(fd, buf_reserve(in, 65536), 65536, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		in->len += (size_t)n;
		if (memchr(in->data + in->len - n, '\n', (size_t)n) != NULL)
			return true;
	}
	return false;
}

/* {"ok":true,"result":…} or {"ok":false,"error":"…","code":"…"} */
static enum ctl_exit read_answer(const struct buf *in, bool quiet, json_t **result)
{
	json_t *answer = json_loadb(buf_data(in), buf_len(in), JSON_DISABLE_EOF_CHECK, NULL);
	const char *error = json_string_value(json_object_get(answer, "error"));
	const char *code = json_string_value(json_object_get(answer, "code"));
	enum ctl_exit end = CTL_OK;

	if (json_is_true(json_object_get(answer, "ok"))) {
		json_t *r = json_object_get(answer, "result");

		*result = r != NULL ? json_incref(r) : json_null();
	} else if (quiet && code != NULL && strcmp(code, "unknown") == 0) {
		end = CTL_NO_SERVER;
	} else {
		end = ctl_fail(code != NULL && strcmp(code, "usage") == 0 ? CTL_USAGE : CTL_FAILED, "%s",
			error != NULL ? error : "the server gave an answer that is none");
	}
	json_decref(answer);
	return end;
}

enum ctl_exit ctl_ask(struct ctl *c, const char *const *words, bool quiet, json_t **result)
{
	return ctl_ask_with(c, words, NULL, quiet, result);
}

static void cleanse(char *text)
{
	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

enum ctl_exit ctl_ask_with(struct ctl *c, const char *const *words, json_t *args, bool quiet, json_t **result)
{
	enum ctl_exit code = ctl_need_config(c);
	struct buf in = BUF_INIT;
	int fd = -1;

	if (code == CTL_OK)
		code = dial(c->config->server.control, quiet, &fd);
	if (code != CTL_OK) {
		json_decref(args);
		return code;
	}
	json_t *list = json_array(), *request = json_pack("{s:o}", "command", list);

	for (; *words != NULL; words++)
		json_array_append_new(list, json_string(*words));
	if (args != NULL)
		json_object_set_new(request, "args", args);
	char *text = json_dumps(request, JSON_COMPACT);

	if (text == NULL)
		code = ctl_fail(CTL_USAGE, "the command is not UTF-8");
	else if (!send_all(fd, text, strlen(text)) || !send_all(fd, "\n", 1) || !receive_line(fd, &in))
		code = ctl_fail(CTL_FAILED, "the server gave no answer");
	else
		code = read_answer(&in, quiet, result);
	cleanse(text);
	json_decref(request);
	buf_release(&in);
	close(fd);
	return code;
}
