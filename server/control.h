/* control.h - the control socket: what sternactl asks a running server.
 *
 * A Unix socket (server.control), mode 0600; the peer's user (SO_PEERCRED) must be ours or root. One JSON object per
 * line: {"command":["session","list"]} is answered by {"ok":true,"result":…} or {"ok":false,"error":"…","code":"…"}
 * with a code of struct sterna_outcome. Fields are words behind the command's, in their order, or an object "args". Requests of one connection are answered one after the other.
 * Limits: 16 connections, lines of 64 KiB, a minute for a request or its answer.
 * Threads: the main one. What commands there are: request.h. */
#ifndef STERNA_CONTROL_H
#define STERNA_CONTROL_H

#include "server/daemon.h"

struct control;

/** After admin_start(), before privileges are dropped: the socket is given to server.user then.
 *  @return STERNA_EIO the socket cannot be made; STERNA_EEXISTS another server listens on it (both logged) */
enum sterna_result control_start(struct daemon *d, struct control **out) STERNA_CHECKED;
/** After the main loop has ended, and before admin_stop(): what is under way is answered to nobody. */
void control_stop(struct control **c);

#endif
