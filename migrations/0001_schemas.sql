create schema identity;
create schema tenant;
create schema audit;

alter default privileges revoke execute on functions from public;

-- Puts a table under row-level security for the tenant of the transaction, and is the only thing that grants to `tenant_rows`.
-- A table that nobody protected cannot be reached by the application at all.
--
-- Without a tenant, `current_setting` raises an error, so a query never silently returns "no rows". It is in a sub-select, so that
-- the planner evaluates it once per query. It is not in a function: a cached plan could keep its result for another tenant.
create function tenant.protect(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  -- Restrictive: if a feature adds a permissive policy later, this one must hold as well.
  execute format($p$
    create policy tenant_only on %s as restrictive to tenant_rows
      using (tenant_id = (select current_setting('app.tenant_id')::uuid))
      with check (tenant_id = (select current_setting('app.tenant_id')::uuid))$p$, target);
  execute format($p$
    create policy tenant_access on %s to tenant_rows
      using (tenant_id = (select current_setting('app.tenant_id')::uuid))
      with check (tenant_id = (select current_setting('app.tenant_id')::uuid))$p$, target);
  execute format($p$
    alter table %s alter column tenant_id set default (current_setting('app.tenant_id')::uuid)$p$, target);
  execute format('grant select, insert, update, delete on %s to tenant_rows', target);
end;
$$;

-- Nobody writes in somebody else's name. The columns given to this trigger say who did something. A write leaves such a column
-- unchanged, clears it, or sets it to the person or the API client of the transaction. The application cannot override this.
create function tenant.check_author() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  written jsonb := to_jsonb(new);
  before jsonb := to_jsonb(old);
  signer text;
begin
  foreach signer in array tg_argv loop
    if written ->> signer is distinct from before ->> signer
       and not coalesce(written ->> signer in (current_setting('app.user_id', true), current_setting('app.client_id', true)),
                        written ->> signer is null) then
      raise exception '% does not name the author of this write', signer using errcode = 'check_violation', constraint = 'check_author';
    end if;
  end loop;
  return new;
end;
$$;
grant execute on function tenant.check_author() to tenant_rows;

grant usage on schema tenant to tenant_rows, account_rows, identity_rows, janitor_rows;
grant usage on schema identity to tenant_rows, account_rows, identity_rows, janitor_rows;
grant usage on schema audit to tenant_rows, account_rows, identity_rows, audit_rows, janitor_rows;

-- Whether a text is one line as the application stores it: in NFC, and without characters that are deceptive anywhere in a text.
-- Whether a joiner belongs to the spelling depends on the letters around it. The application decides that.
create function tenant.is_plain(line text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select line is nfc normalized
     and line !~ '[\u0001-\u001F\u007F-\u009F\u00AD\u034F\u115F\u1160\u17B4\u17B5\u2028-\u202E\u2060-\u206F\u2800\u3164\uE000-\uF8FF\uFEFF\uFFA0\uFFF9-\uFFFF]'
     and line !~ '[\U000E0000-\U000E001F\U000E0080-\U000E00FF\U000E01F0-\U0010FFFF]'
$$;
-- For every role that writes a row with such a column.
grant execute on function tenant.is_plain(text) to tenant_rows, account_rows, identity_rows, operator_rows;

-- Compares base letters only: "Zoë" equals "zoe" and "ZOE". It uses the root locale of CLDR, so every database compares alike.
create collation tenant.alike (provider = icu, locale = 'und-u-ks-level1', deterministic = false);

-- The words that a search finds: each word of each text, with the text after it. At most 20 words of a text, and 120 characters of
-- each. A word begins after any character that is not a letter or a digit. In scripts without spaces between words (Thai, Lao,
-- Burmese, Khmer, Chinese, Japanese), each letter begins one.
create function tenant.words(variadic texts text[]) returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(word), '{}') from (
    select left(substr(t, 1 + (sum(length(piece)) over (partition by field order by nth) - length(piece))::int), 120)
      from unnest(texts) with ordinality as f(t, field),
           regexp_split_to_table(t collate "und-x-icu",
             '((?<=[^[:alnum:]])|(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]))(?=\S)')
             with ordinality as p(piece, nth)
     where nth <= 20 and t <> '') as w(word)
$$;
grant execute on function tenant.words(text[]) to tenant_rows, account_rows, identity_rows;
