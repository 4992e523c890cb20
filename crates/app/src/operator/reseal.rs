use audit::Event;
use sealing::{Column, Keys, Place};
use serde_json::json;
use tenancy::{Db, Operator, Tx, Write};
use uuid::Uuid;

use super::{Failure, operator};

/// Rows of one transaction.
const BATCH: i64 = 100;

/// A row, and what is sealed in it.
struct Sealed {
    row: Uuid,
    secret: Vec<u8>,
}

/// Seals everything under the configured key that is still under the one before it, so that one can be forgotten. Says how far
/// it is. It may be stopped at any moment and begun again: what is done is not done twice.
pub async fn reseal(db: &Db, keys: &Keys, out: &mut impl std::io::Write) -> Result<(), Failure> {
    let mut unopened = Vec::new();
    for column in Column::ALL {
        let (mut after, mut done) = (Uuid::nil(), 0);
        loop {
            let mut tx = db.begin_operator::<Write>().await?;
            let rows = next(&mut tx, column, keys.current(), after).await?;
            let Some(last) = rows.last() else { break };
            after = last.row;
            for Sealed { row, secret } in rows {
                let place = Place { column, row };
                if let Ok(plain) = keys.open(place, &secret) {
                    put(&mut tx, place, (&secret, &keys.seal(place, &plain)?)).await?;
                    done += 1;
                } else {
                    unopened.push(format!("{} of {row}", column.name()));
                }
            }
            tx.commit().await?;
            writeln!(out, "{}: {done} sealed anew", column.name())?;
        }
        if done > 0 {
            let mut tx = db.begin_operator::<Write>().await?;
            let (target, details) = ("Sealing".to_owned(), json!({ "column": column.name(), "rows": done }));
            Event { kind: "sealing.resealed", target, details }.record(&mut tx, &operator()).await?;
            tx.commit().await?;
        }
    }
    if unopened.is_empty() {
        writeln!(out, "Everything is sealed under sealing.key. sealing.previous_key is not needed any more.")?;
        return Ok(());
    }
    let text = "These open neither under sealing.key nor under sealing.previous_key, and were left as they are";
    Err(Failure::Refused(format!("{text}: {}", unopened.join(", "))))
}

/// The next rows of a column that are not under the current key, held until the transaction ends.
async fn next(
    tx: &mut Tx<Write, Operator>,
    column: Column,
    current: &[u8],
    after: Uuid,
) -> Result<Vec<Sealed>, sqlx::Error> {
    let connection = &mut **tx;
    match column {
        Column::Totp => {
            sqlx::query_as!(
                Sealed,
                "select user_id as row, secret from identity.totp
                  where user_id > $1 and substring(secret from 1 for 4) <> $2
                  order by user_id fetch first $3 rows with ties for update",
                after,
                current,
                BATCH,
            )
            .fetch_all(connection)
            .await
        }
        Column::SignOn => {
            sqlx::query_as!(
                Sealed,
                "select tenant_id as row, client_secret as secret from tenant.sign_on
                  where tenant_id > $1 and substring(client_secret from 1 for 4) <> $2 order by tenant_id limit $3 for update",
                after,
                current,
                BATCH,
            )
            .fetch_all(connection)
            .await
        }
        Column::SigningKey => {
            sqlx::query_as!(
                Sealed,
                "select id as row, private as secret from identity.signing_keys
                  where id > $1 and substring(private from 1 for 4) <> $2 order by id limit $3 for update",
                after,
                current,
                BATCH,
            )
            .fetch_all(connection)
            .await
        }
        Column::ApiClient => {
            sqlx::query_as!(
                Sealed,
                "select id as row, secret from tenant.api_clients
                  where signs and id > $1 and substring(secret from 1 for 4) <> $2 order by id limit $3 for update",
                after,
                current,
                BATCH,
            )
            .fetch_all(connection)
            .await
        }
    }
}

async fn put(
    tx: &mut Tx<Write, Operator>,
    Place { column, row }: Place,
    (was, sealed): (&[u8], &[u8]),
) -> Result<(), sqlx::Error> {
    let query = match column {
        // A person has one for each bond.
        Column::Totp => {
            sqlx::query!("update identity.totp set secret = $2 where user_id = $1 and secret = $3", row, sealed, was)
        }
        Column::SignOn => {
            sqlx::query!("update tenant.sign_on set client_secret = $2 where tenant_id = $1", row, sealed)
        }
        Column::SigningKey => sqlx::query!("update identity.signing_keys set private = $2 where id = $1", row, sealed),
        Column::ApiClient => {
            sqlx::query!("update tenant.api_clients set secret = $2 where signs and id = $1", row, sealed)
        }
    };
    query.execute(&mut **tx).await?;
    Ok(())
}
