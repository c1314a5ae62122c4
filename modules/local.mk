# modules: its lines of the build.
