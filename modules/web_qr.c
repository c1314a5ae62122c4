/* web_qr.c - QR codes as inline SVG, by libqrencode. */
#include <qrencode.h>
#include "modules/web.h"

enum { QUIET = 4 };                  /* modules of white around it: ISO/IEC 18004 §6.3.8 */

bool web_qr(struct buf *out, const char *text, const char *label)
{
	QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
	int side;

	if (code == NULL)
		return false;
	side = code->width + 2 * QUIET;
	buf_addf(out, "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
		side, side);
	web_text(out, label);
	/* White below, whatever the page's colours are: not every camera reads a code that is inverted. */
	buf_addf(out, "\" shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path fill=\"#000\" d=\"", side, side);
	for (int y = 0; y < code->width; y++)
		for (int x = 0, n; x < code->width; x += n) {
			const unsigned char *line = code->data + y * code->width;

			for (n = 1; x + n < code->width && (line[x + n] & 1) == (line[x] & 1); n++)
				;
			if ((line[x] & 1) != 0)
				buf_addf(out, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, n, n);
		}
	buf_lit(out, "\"/></svg>\n");
	QRcode_free(code);
	return true;
}
