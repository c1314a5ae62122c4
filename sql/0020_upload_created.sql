-- What is to be removed from an object store is found by its age.
CREATE INDEX upload_slot_created ON upload_slot (created);
