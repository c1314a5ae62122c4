# sql: its lines of the build.
