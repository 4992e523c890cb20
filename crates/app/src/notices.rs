//! What owners of an organization hear of by mail, and names in mails of ours.

use audit::Actor;
use mail::Mail;
use tenancy::{Tx, UserId, Write};
use web::Result;

/// Tells every owner, once `tx` is committed.
pub(crate) async fn tell_owners(tx: &mut Tx<Write>, mail: &Mail, by: &Actor) -> Result<()> {
    let owners =
        sqlx::query_scalar!(r#"select user_id as "user: UserId" from tenant.memberships where role = 'owner'"#);
    for owner in owners.fetch_all(&mut **tx).await? {
        mail.queue_to(tx, owner, by).await?;
    }
    Ok(())
}

/// A name that somebody chose, for a mail of ours: short, and with nothing that a mail program makes a link of.
pub(crate) fn unlinked(name: &str) -> String {
    let mut shown = String::new();
    for c in web::visible(name, 60).chars() {
        if shown.ends_with(['.', ':', '/', '@']) && !c.is_whitespace() {
            shown.push(' ');
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_no_link() {
        assert_eq!(super::unlinked("Refund: https://evil.example/x"), "Refund: https: / / evil. example/ x");
        assert_eq!(super::unlinked("St. Mary’s"), "St. Mary’s");
    }
}
