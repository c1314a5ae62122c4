/* result.h - what a call that can fail returns. */
#ifndef STERNA_RESULT_H
#define STERNA_RESULT_H

enum sterna_result {
	STERNA_OK,
	STERNA_EINVAL,       /* the input is wrong */
	STERNA_ELIMIT,       /* a limit was reached */
	STERNA_ENOTFOUND,    /* no such thing */
	STERNA_EEXISTS,      /* is there already (a unique key) */
	STERNA_EDENIED,      /* not allowed */
	STERNA_EUNAVAILABLE, /* not now: nothing was done, trying later may work */
	STERNA_EUNCERTAIN,   /* not known whether it was done; never an ack */
	STERNA_EIO,          /* the system or a library refused; the log says what */
	STERNA_EAGAIN,       /* nothing yet: called again when there is */
	STERNA_ECLOSED,      /* the other side has gone */
};

/** A word for the log: "ok", "invalid", ... ; static. */
const char *sterna_result_text(enum sterna_result rc);

#define STERNA_CHECKED __attribute__((warn_unused_result))
#define STERNA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define STERNA_API __attribute__((visibility("default")))

#endif
