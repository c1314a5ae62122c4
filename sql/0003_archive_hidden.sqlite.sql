-- Rows that are neither shown nor waiting are there for sessions that may be resumed; they are found here to be removed.
CREATE INDEX archive_hidden ON archive (owner, id) WHERE flags = 0;
