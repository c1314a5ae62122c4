-- Who was told once that messages should be encrypted (module e2e_policy).

CREATE TABLE e2e_hint (
	owner text PRIMARY KEY,
	given integer NOT NULL                  -- microseconds since 1970
);
