-- Every resource of the control plane is one row: its kind, its identity, and its document.
-- The text is portable: TEXT for ids and JSON, BIGINT for numbers and times.
CREATE TABLE resources (
    kind    TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    -- The name that users choose; unique among the resources of a kind.
    name    TEXT   NOT NULL,
    -- The id of the resource that this one belongs to (a table's statistics to its task), or ''.
    parent  TEXT   NOT NULL,
    -- Grows with every insert and never repeats: lists are ordered and paged by it.
    seq     BIGINT NOT NULL,
    -- Grows with every update of the row.
    version BIGINT NOT NULL,
    doc     TEXT   NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE UNIQUE INDEX resources_name ON resources (kind, name);
CREATE UNIQUE INDEX resources_seq ON resources (kind, seq);
CREATE INDEX resources_parent ON resources (kind, parent, seq);

CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('seq', 0);
