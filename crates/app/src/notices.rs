//! What people in an organization hear of by mail because of their role, and names in mails of ours.

use audit::Actor;
use mail::Mail;
use tenancy::{Tx, UserId, Write};
use web::Result;

use crate::organizations::Organization;

/// Tells everybody who has one of these roles, once `tx` is committed.
pub(crate) async fn tell(tx: &mut Tx<Write>, roles: &[&str], mail: &Mail, by: &Actor) -> Result<()> {
    let roles: Vec<String> = roles.iter().copied().map(str::to_owned).collect();
    let people = sqlx::query_scalar!(
        r#"select user_id as "user: UserId" from tenant.memberships where role = any($1) order by user_id"#,
        &roles
    );
    for person in people.fetch_all(&mut **tx).await? {
        mail.queue_to(tx, person, by).await?;
    }
    Ok(())
}

/// What somebody did. What is only for members stands on the page and not in the mail.
pub(crate) fn notice(
    organization: &Organization,
    (kind, subject): (&'static str, &str),
    (who, did): (&str, &str),
    url: &str,
) -> Mail {
    let (who, organization) = (unlinked(who), unlinked(&organization.name));
    let text = format!("{who} {did}, in “{organization}”.\n\nMore about it, and what can be done:\n{url}\n");
    Mail { kind, subject: subject.to_owned(), text, good_for: None }
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
