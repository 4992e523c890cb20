use audit::Event;
use encryption::{Column, EncryptionContext, KeyRing};
use serde_json::json;
use tenancy::{Db, Operator, Tx, Write};
use uuid::Uuid;

use super::{Failure, operator};

/// Rows of one transaction.
const BATCH: i64 = 100;

/// A row with its encrypted secret.
struct EncryptedSecret {
    row: Uuid,
    secret: Vec<u8>,
}

/// Re-encrypts every secret that is not under the current key, so that the previous key can be removed. Prints its progress to
/// `out`. It can be stopped and started again at any time; finished rows are not done twice.
///
/// # Errors
///
/// A secret decrypts under neither key, or the database fails. Secrets that do not decrypt are left as they are, and the message
/// names them.
pub async fn re_encrypt(db: &Db, keys: &KeyRing, out: &mut impl std::io::Write) -> Result<(), Failure> {
    let mut undecryptable = Vec::new();
    for column in Column::ALL {
        let (mut after, mut done) = (Uuid::nil(), 0);
        loop {
            let mut tx = db.begin_operator::<Write>().await?;
            let rows = next(&mut tx, column, keys.current_id(), after).await?;
            let Some(last) = rows.last() else { break };
            after = last.row;
            for EncryptedSecret { row, secret } in rows {
                let context = EncryptionContext { column, row };
                if let Ok(plain) = keys.decrypt(context, &secret) {
                    put(&mut tx, context, &secret, &keys.encrypt(context, &plain)?).await?;
                    done += 1;
                } else {
                    undecryptable.push(format!("{} of {row}", column.name()));
                }
            }
            tx.commit().await?;
            writeln!(out, "{}: {done} re-encrypted", column.name())?;
        }
        if done > 0 {
            let mut tx = db.begin_operator::<Write>().await?;
            let (target, details) = ("Encryption".to_owned(), json!({ "column": column.name(), "rows": done }));
            Event { kind: "encryption.re_encrypted", target, details }.record(&mut tx, &operator()).await?;
            tx.commit().await?;
        }
    }
    if undecryptable.is_empty() {
        writeln!(out, "Every secret is encrypted under encryption.key. You can remove encryption.previous_key.")?;
        return Ok(());
    }
    let text = "These decrypt under neither encryption.key nor encryption.previous_key, and were left as they are";
    Err(Failure::Refused(format!("{text}: {}", undecryptable.join(", "))))
}

/// The next rows of a column that are not under the current key, locked until the transaction ends.
async fn next(
    tx: &mut Tx<Write, Operator>,
    column: Column,
    current: &[u8],
    after: Uuid,
) -> Result<Vec<EncryptedSecret>, sqlx::Error> {
    let connection = &mut **tx;
    match column {
        Column::Totp => {
            sqlx::query_as!(
                EncryptedSecret,
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
        Column::IdentityProvider => {
            sqlx::query_as!(
                EncryptedSecret,
                "select tenant_id as row, client_secret as secret from tenant.identity_providers
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
                EncryptedSecret,
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
                EncryptedSecret,
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
    EncryptionContext { column, row }: EncryptionContext,
    was: &[u8],
    encrypted: &[u8],
) -> Result<(), sqlx::Error> {
    let query = match column {
        // A person has one for each bond.
        Column::Totp => {
            sqlx::query!("update identity.totp set secret = $2 where user_id = $1 and secret = $3", row, encrypted, was)
        }
        Column::IdentityProvider => {
            sqlx::query!("update tenant.identity_providers set client_secret = $2 where tenant_id = $1", row, encrypted)
        }
        Column::SigningKey => {
            sqlx::query!("update identity.signing_keys set private = $2 where id = $1", row, encrypted)
        }
        Column::ApiClient => {
            sqlx::query!("update tenant.api_clients set secret = $2 where signs and id = $1", row, encrypted)
        }
    };
    query.execute(&mut **tx).await?;
    Ok(())
}
