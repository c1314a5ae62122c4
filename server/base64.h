/* base64.h - base 64 by RFC 4648 §4, as SASL (RFC 6120 §6.4), IBB and avatars need it: strict, without
 * line breaks, one text for one sequence of bytes. Threads: any. */
#ifndef STERNA_BASE64_H
#define STERNA_BASE64_H

#include <stddef.h>
#include "server/result.h"

/** Characters for n bytes, without a NUL. n at most SIZE_MAX / 4 * 3 - 2. */
#define BASE64_TEXT_LEN(n) (((n) + 2) / 3 * 4)
/** Bytes that len characters can hold at most. */
#define BASE64_BYTES_MAX(len) ((len) / 4 * 3)

/** Write bytes as text.
 *  @param[out] out  NUL-terminated; untouched unless STERNA_OK
 *  @param size      of out; BASE64_TEXT_LEN(n) + 1 is enough
 *  @return STERNA_ELIMIT  out is too small */
enum sterna_result base64_encode(const void *bytes, size_t n, char *out, size_t size) STERNA_CHECKED;

/** Read text that a peer sent. All of it must be right: no whitespace, padding present, bits that carry
 *  nothing zero (RFC 4648 §3.5). The empty text is no bytes. Takes the same time for all texts of a
 *  length that are valid, so it may read keys and passwords.
 *  @param[out] out    holds what was read on STERNA_OK; may hold a part of it otherwise
 *  @param size        of out in bytes; BASE64_BYTES_MAX(len) is always enough
 *  @param[out] out_n  bytes written; untouched unless STERNA_OK
 *  @return STERNA_EINVAL  no base 64: SASL answers <incorrect-encoding/> (RFC 6120 §6.5.5)
 *          STERNA_ELIMIT  out is too small */
enum sterna_result base64_decode(const char *text, size_t len, void *out, size_t size, size_t *out_n)
	STERNA_CHECKED;

#endif
