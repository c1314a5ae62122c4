# The daemon under faults: run by ./check crash, see README.md there.
EXTRA_DIST += \
	tests/crash/README.md \
	tests/crash/clock.c \
	tests/crash/cluster.py \
	tests/crash/crash.py \
	tests/crash/peer.py \
	tests/crash/powercut.c \
	tests/crash/torture.c \
	tests/crash/torture.py \
	tests/crash/world.py
