create schema identity;
create schema tenant;
create schema audit;

alter default privileges revoke execute on functions from public;

-- Puts a table under row-level security for the tenant of the transaction, and is the only thing that grants to `tenant_rows`.
-- A table that nobody protected cannot be reached by the application at all.
--
-- The raising form: without a tenant this is an error, never "no rows". A sub-select, so that the planner evaluates it
-- once per query; and no function, whose result a cached plan could keep for another tenant.
create function tenant.protect(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  -- Restrictive: whatever permissive policy a feature adds later, this one must hold as well.
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

-- Nobody writes in somebody else's name. The columns given to this trigger say who did something. They stay as they were, stay
-- empty, or name the person or the API client of the transaction, whatever the application believes.
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
      raise exception '% is not who writes this', signer using errcode = 'check_violation', constraint = 'check_author';
    end if;
  end loop;
  return new;
end;
$$;
grant execute on function tenant.check_author() to tenant_rows;

grant usage on schema tenant to tenant_rows, account_rows, identity_rows, janitor_rows;
grant usage on schema identity to tenant_rows, account_rows, identity_rows, janitor_rows;
grant usage on schema audit to tenant_rows, account_rows, identity_rows, audit_rows, janitor_rows;

-- One line as the application stores it: in NFC, and without characters that deceive anywhere in a text. Which joiners are
-- spelling depends on the letters around them, and the application decides that.
create function tenant.is_plain(line text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select line is nfc normalized
     and line !~ '[\u0001-\u001F\u007F-\u009F\u00AD\u034F\u115F\u1160\u17B4\u17B5\u2028-\u202E\u2060-\u206F\u2800\u3164\uE000-\uF8FF\uFEFF\uFFA0\uFFF9-\uFFFF]'
     and line !~ '[\U000E0000-\U000E001F\U000E0080-\U000E00FF\U000E01F0-\U0010FFFF]'
$$;
-- To every role that writes a row with such a line, in any column.
grant execute on function tenant.is_plain(text) to tenant_rows, account_rows, identity_rows, operator_rows;

-- Compares base letters alone: "Zoë" is "zoe", and so is "ZOE". By the root of CLDR, so on every database in the same way.
create collation tenant.alike (provider = icu, locale = 'und-u-ks-level1', deterministic = false);

-- What a search finds: each word of each text, with what comes after it, up to 20 words of a text and 120 characters. A
-- word begins after anything that is no letter and no digit, and with each letter of scripts that put nothing between
-- words (Thai, Lao, Burmese, Khmer, Chinese, Japanese).
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
