/* datetime.h - moments as text, by XEP-0082 (its DateTime profile is XML Schema's dateTime).
 * A moment is microseconds since 1970-01-01T00:00:00Z in an int64_t, before that negative.
 * Threads: any. */
#ifndef STERNA_DATETIME_H
#define STERNA_DATETIME_H

#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

/** Room for "2001-09-09T01:46:40.000000Z" with its NUL. */
enum { DATETIME_SIZE = 28 };

/** The moments that have a text: years 0001 to 9999 of UTC. */
#define DATETIME_MIN_US INT64_C(-62135596800000000)
#define DATETIME_MAX_US INT64_C(253402300799999999)

/** Read CCYY-MM-DDThh:mm:ss[.s…](Z|±hh:mm) that a peer sent (XEP-0082 §3.2).
 *  Digits of the fraction after the sixth are checked and dropped; offsets go to ±14:00; 24:00:00 is the
 *  next midnight, as in XML Schema; there is no second 60.
 *  @param text,len     no NUL needed
 *  @param[out] out_us  untouched unless STERNA_OK
 *  @return STERNA_EINVAL  no such text, no such day, or not within DATETIME_MIN_US and DATETIME_MAX_US */
enum sterna_result datetime_parse(const char *text, size_t len, int64_t *out_us) STERNA_CHECKED;

/** "2001-09-09T01:46:40Z"; parts of a second are dropped towards the past. A moment beyond the limits is
 *  written as the limit. Returns out. */
const char *datetime_format(int64_t us, char out[DATETIME_SIZE]);
/** The same with six digits: "2001-09-09T01:46:40.000000Z". */
const char *datetime_format_us(int64_t us, char out[DATETIME_SIZE]);

#endif
