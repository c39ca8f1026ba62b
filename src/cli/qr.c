/* QR codes in a terminal: two modules a character, by half blocks, dark on light whatever the
 * terminal's colours are. */
#include "cli/cli_priv.h"

#include <qrencode.h>
#include <stdio.h>
#include <string.h>

#define QUIET 2 /* modules of margin; scanners are content with less than the standard's four */

static bool dark(const QRcode *code, int x, int y)
{
	return x >= 0 && y >= 0 && x < code->width && y < code->width &&
	       (code->data[y * code->width + x] & 1);
}

/* Black on bright white; without colours the light squares are drawn, for the terminal's own light
 * on dark. */
static void print_row(const QRcode *code, int y, bool colour)
{
	static const char *const blocks[] = {" ", "▄", "▀", "█"};
	fputs(colour ? "\033[30;107m" : "", stdout);
	for (int x = -QUIET; x < code->width + QUIET; x++) {
		int drawn = 2 * dark(code, x, y) + dark(code, x, y + 1);
		fputs(blocks[colour ? drawn : 3 - drawn], stdout);
	}
	fputs(colour ? "\033[0m\n" : "\n", stdout);
}

int cli_print_qr(const char *text, struct err *err)
{
	char upper[2048];
	bool colour = cli_colour();
	size_t n = strlen(text);
	if (n >= sizeof upper)
		return err_set(err, E_TOO_LARGE, "too long for a QR code");
	for (size_t i = 0; i <= n; i++)
		upper[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
	/* Upper case alone makes it a third smaller. */
	QRcode *code = QRcode_encodeString(upper, 0, QR_ECLEVEL_L, QR_MODE_8, 0);
	explicit_bzero(upper, sizeof upper);
	if (!code)
		return err_set(err, E_TOO_LARGE, "too long for a QR code");
	for (int y = -QUIET; y < code->width + QUIET; y += 2)
		print_row(code, y, colour);
	QRcode_free(code);
	return 0;
}
