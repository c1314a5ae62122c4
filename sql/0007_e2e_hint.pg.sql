-- Who was told once that messages should be encrypted (module e2e_policy).

CREATE TABLE e2e_hint (
	owner text COLLATE "C" PRIMARY KEY,
	given bigint NOT NULL                  -- microseconds since 1970
);
