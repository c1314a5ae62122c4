# contrib: its lines of the build.
