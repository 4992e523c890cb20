//! The audit log: every change records an event and its decision in the same transaction, and neither can be changed.

mod announced;
mod append_only;
mod coverage;
mod decisions;
mod queue;
mod samples;
mod sentences;

use sqlx::{Executor, PgConnection};

/// Makes the database refuse every row for `table`.
async fn refuse_rows(owner: &mut PgConnection, table: &'static str) {
    let sql = format!(
        "create or replace function public.refuse() returns trigger language plpgsql as
           $$ begin raise exception 'refused by a test'; end $$;
         grant execute on function public.refuse() to public;
         create trigger refuse before insert on {table} for each row execute function public.refuse()"
    );
    owner.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
}

/// Lets them in again.
async fn take_rows(owner: &mut PgConnection, table: &'static str) {
    owner.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop trigger refuse on {table}")))).await.unwrap();
}
