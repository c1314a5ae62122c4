/* http_form.h - forms that browsers send: application/x-www-form-urlencoded (URL Standard §5.1). Pure; no state. */
#ifndef STERNA_HTTP_FORM_H
#define STERNA_HTTP_FORM_H

#include <stddef.h>

/** The first field of that name, decoded. New, free() it.
 *  @return NULL: there is none; it is no text (NUL, no UTF-8); or it is longer than max bytes */
char *http_form_field(const char *body, size_t len, const char *field, size_t max);

#endif
