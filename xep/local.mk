# xep: its lines of the build.
