-- What is on the block lists that the module rtbl keeps: hashes, by "service/node".
CREATE TABLE rtbl_item (
	list text NOT NULL,
	hash text NOT NULL,
	PRIMARY KEY (list, hash)
);
