-- How often something was tried: the time at which everything tried so far is paid for. The key is a hash of what is
-- limited and for whom.
create table identity.limits (
  key bytea primary key check (octet_length(key) = 32),
  free_at timestamptz not null
);
create index limits_free on identity.limits (free_at);
grant select, insert, update, delete on identity.limits to identity_rows;
