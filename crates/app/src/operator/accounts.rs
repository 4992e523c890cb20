use askama::Template;
use audit::Event;
use authn::remove_factors;
use authz::Entity;
use chrono::{DateTime, Utc};
use mail::Mail;
use serde_json::{Value, json};
use tenancy::{Db, Operator, Tx, UserId, Write};
use uuid::Uuid;

use super::{Failure, Reason, operator};

/// A person, locked until the transaction ends.
struct Person {
    id: UserId,
    locked_at: Option<DateTime<Utc>>,
}

/// The only person with this id or email address. Several people can have the same address. Then the id is required.
async fn find(tx: &mut Tx<Write, Operator>, who: &str) -> Result<Person, Failure> {
    let found = sqlx::query_as!(
        Person,
        r#"select id as "id: UserId", locked_at from identity.users
            where id = $1 or $1::uuid is null and email <> '' and lower(email) = lower($2)
            order by id limit 6 for update"#,
        who.parse::<Uuid>().ok(),
        who,
    );
    let mut found = found.fetch_all(&mut **tx).await?;
    match (found.pop(), found.is_empty()) {
        (Some(person), true) => Ok(person),
        (None, _) => Err(Failure::Refused(format!("There is nobody with the id or address {who}."))),
        (Some(last), false) => {
            found.push(last);
            let ids: Vec<_> = found.iter().map(|person| person.id.to_string()).collect();
            Err(Failure::Refused(format!("Several people have this address; say which id: {}", ids.join(", "))))
        }
    }
}

/// What a person is notified of that an operator did to their account.
#[derive(Template)]
enum OperatorMail {
    #[template(path = "mail/account_locked.txt")]
    Locked,
    #[template(path = "mail/account_unlocked.txt")]
    Unlocked,
    #[template(path = "mail/account_factors_reset.txt")]
    FactorsReset,
}

/// Records a change and notifies the person.
async fn record(
    tx: &mut Tx<Write, Operator>,
    mail: Mail,
    person: UserId,
    mut details: Value,
    Reason(reason): &Reason,
) -> Result<(), Failure> {
    let by = operator();
    details["reason"] = json!(&**reason);
    let target = Entity::new("User", person).to_string();
    Event { kind: mail.kind, target, details }.record(tx, &by).await?;
    mail.queue_to(tx, person, &by).await?;
    Ok(())
}

/// Locks an account. API clients that act as this person stop working with their next request, their sessions end, and their
/// invitations can no longer be accepted. Unlocking restores neither.
///
/// # Errors
///
/// Nobody, or several people, match `who`, the account is locked already, or the database fails.
pub async fn lock(db: &Db, who: &str, reason: &Reason, now: DateTime<Utc>) -> Result<UserId, Failure> {
    let mut tx = db.begin_operator::<Write>().await?;
    let person = find(&mut tx, who).await?;
    if let Some(since) = person.locked_at {
        return Err(Failure::Refused(format!("{} is locked since {since} already.", person.id)));
    }
    sqlx::query!("update identity.users set locked_at = $2 where id = $1", person.id.uuid(), now)
        .execute(&mut *tx)
        .await?;
    let (sessions, invitations) = end_open(&mut tx, person.id, now).await?;
    let mail = Mail::of("account.locked", &OperatorMail::Locked)?;
    let details = json!({ "sessions": sessions, "invitations": invitations });
    record(&mut tx, mail, person.id, details, reason).await?;
    tx.commit().await?;
    // Requests that began before the lock may have finished after it.
    let mut tx = db.begin_operator::<Write>().await?;
    let (sessions, invitations) = end_open(&mut tx, person.id, now).await?;
    if sessions + invitations > 0 {
        let target = Entity::new("User", person.id).to_string();
        let details = json!({ "sessions": sessions, "invitations": invitations, "reason": &*reason.0 });
        Event { kind: "account.locked", target, details }.record(&mut tx, &operator()).await?;
    }
    tx.commit().await?;
    Ok(person.id)
}

/// Ends the sessions of a person and deletes their invitations. Returns how many of each.
async fn end_open(tx: &mut Tx<Write, Operator>, person: UserId, now: DateTime<Utc>) -> Result<(u64, u64), Failure> {
    let sessions = sqlx::query!(
        "update identity.sessions set ended_at = $2, ended_reason = 'the account was locked'
          where user_id = $1 and ended_at is null and expires_at > $2",
        person.uuid(),
        now,
    );
    let sessions = sessions.execute(&mut **tx).await?.rows_affected();
    let invitations = sqlx::query!("delete from tenant.invitations where invited_by = $1", person.uuid());
    Ok((sessions, invitations.execute(&mut **tx).await?.rows_affected()))
}

/// Unlocks an account.
///
/// # Errors
///
/// Nobody, or several people, match `who`, the account is not locked, or the database fails.
pub async fn unlock(db: &Db, who: &str, reason: &Reason) -> Result<UserId, Failure> {
    let mut tx = db.begin_operator::<Write>().await?;
    let person = find(&mut tx, who).await?;
    let Some(since) = person.locked_at else {
        return Err(Failure::Refused(format!("{} is not locked.", person.id)));
    };
    sqlx::query!("update identity.users set locked_at = null where id = $1", person.id.uuid())
        .execute(&mut *tx)
        .await?;
    let mail = Mail::of("account.unlocked", &OperatorMail::Unlocked)?;
    record(&mut tx, mail, person.id, json!({ "locked_at": since }), reason).await?;
    tx.commit().await?;
    Ok(person.id)
}

/// Removes every factor of a person and ends their sessions. They can sign in with their provider and create a new passkey.
///
/// # Errors
///
/// Nobody, or several people, match `who`, or the database fails.
pub async fn reset_factors(db: &Db, who: &str, reason: &Reason, now: DateTime<Utc>) -> Result<UserId, Failure> {
    let mut tx = db.begin_operator::<Write>().await?;
    let Person { id, .. } = find(&mut tx, who).await?;
    let removed = remove_factors(&mut tx, id, "by an operator", now).await?;
    let mail = Mail::of("account.factors_reset", &OperatorMail::FactorsReset)?;
    let details = json!({
        "passkeys": removed.passkeys,
        "authenticator_apps": removed.authenticator_apps,
        "recovery_codes": removed.recovery_codes,
    });
    record(&mut tx, mail, id, details, reason).await?;
    tx.commit().await?;
    Ok(id)
}
