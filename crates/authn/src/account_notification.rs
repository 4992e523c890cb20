use chrono::{DateTime, Utc};
use mail::Mail;
use tenancy::{Identity, Plane, Tx, UserId, Write};
use web::{Client, Context, Error, format_datetime};

use crate::Authn;
use crate::actor::actor;

/// What the owner of an account is notified of by email. It does not matter who caused it.
#[derive(Clone, Debug)]
pub enum AccountNotification {
    /// A passkey was added. It signs in, unless it is known not to be discoverable.
    PasskeyAdded {
        /// Its name.
        name: String,
        /// Whether it signs in alone, as far as the browser says.
        discoverable: Option<bool>,
    },
    /// A passkey with this name was removed.
    PasskeyRemoved(String),
    /// A passkey was copied and is disabled.
    PasskeyCopied,
    /// An authenticator app was added.
    TotpAdded,
    /// The authenticator app was removed.
    TotpRemoved,
    /// An organization removed their factors.
    FactorsReset,
    /// A new device signed in.
    NewDevice,
    /// Their provider gives another email address, or no longer vouches for this one.
    AddressChanged,
    /// New recovery codes were generated.
    CodesMade,
    /// A recovery code was used. A passkey can be created now.
    CodeUsed,
    /// A recovery code was used. A passkey can be created at this time.
    RecoveryWaits(DateTime<Utc>),
    /// A pending recovery was continued.
    RecoveryGoesOn,
    /// A pending recovery was stopped.
    RecoveryStopped,
    /// They saw a new secret of an API client.
    ClientSecret {
        /// Name of the client.
        name: String,
        /// The page where it can be revoked.
        path: String,
    },
    /// Wrong codes were tried. No code is accepted until this time.
    LockedOut(DateTime<Utc>),
}

fn added(name: &str, discoverable: Option<bool>) -> String {
    let can = match discoverable {
        Some(false) => "It can confirm actions after a sign-in, but it can't sign in alone.",
        _ => "It can sign in to your account.",
    };
    format!("The passkey “{name}” was added to your account. {can}")
}

impl AccountNotification {
    /// Kind, subject and first paragraph.
    fn words(&self) -> (&'static str, &'static str, String) {
        match self {
            Self::PasskeyAdded { name, discoverable } => {
                ("passkey.added", "A passkey was added to your account", added(name, *discoverable))
            }
            Self::PasskeyRemoved(name) => (
                "passkey.removed",
                "A passkey was removed from your account",
                format!("The passkey “{name}” was removed from your account, and your other sessions have ended."),
            ),
            Self::PasskeyCopied => (
                "passkey.disabled",
                "A passkey of yours was copied",
                "The counter of one of your passkeys went back, which means that there is a copy of it. It is disabled now, \
                 so is every passkey that was added with it, and all your sessions have ended."
                    .to_owned(),
            ),
            Self::TotpAdded => (
                "totp.added",
                "An authenticator app was added to your account",
                "An authenticator app was added to your account. Its codes are a second factor from now on.".to_owned(),
            ),
            Self::TotpRemoved => (
                "totp.removed",
                "The authenticator app was removed from your account",
                "The authenticator app was removed from your account, and your other sessions have ended.".to_owned(),
            ),
            Self::FactorsReset => (
                "factors.reset",
                "Your passkeys were removed by your organization",
                "Your passkeys, your authenticator app and your recovery codes were removed by an owner or admin of your \
                 organization, and your sessions have ended. Sign in with your organization's provider and make a new passkey."
                    .to_owned(),
            ),
            Self::NewDevice => (
                "sign_in.new_device",
                "A new device signed in to your account",
                "A device signed in to your account that you had not used with it before.".to_owned(),
            ),
            Self::AddressChanged => (
                "email.changed",
                "We do not write to this address any more",
                "Your sign-in provider gives another address for you now, or does not confirm this one any more. From now \
                 on, what happens to your account is not told to this address."
                    .to_owned(),
            ),
            Self::CodesMade => (
                "recovery.codes_made",
                "New recovery codes for your account",
                "New recovery codes were made for your account. The ones before do not work any more.".to_owned(),
            ),
            Self::CodeUsed => (
                "recovery.code_used",
                "A code was used to recover your account",
                "Somebody used a recovery code, or a code of your authenticator app. They can now add a passkey to your \
                 account."
                    .to_owned(),
            ),
            Self::RecoveryWaits(ready) => (
                "recovery.waits",
                "Somebody is recovering your account",
                format!(
                    "Somebody used a recovery code, or a code of your authenticator app. They can add a passkey to your account \
                     on {}. Until then you can stop it in your account, under Recovery.",
                    format_datetime(*ready)
                ),
            ),
            Self::RecoveryStopped => (
                "recovery.cancelled",
                "The recovery of your account was stopped",
                "A recovery of your account that waited was stopped by somebody who is signed in as you. The code it was begun \
                 with is used up."
                    .to_owned(),
            ),
            Self::ClientSecret { name, .. } => (
                "api_client.secret",
                "A secret of an API client was made in your name",
                format!(
                    "You generated a new secret for the API client “{name}”. Anyone who has it can use the client's scopes."
                ),
            ),
            Self::LockedOut(until) => (
                "account.locked_out",
                "Wrong codes were tried for your account",
                format!(
                    "Somebody who is signed in as you has tried several wrong codes. No codes are accepted until {}. A passkey \
                     still works, and ends the wait.",
                    format_datetime(*until)
                ),
            ),
            Self::RecoveryGoesOn => (
                "recovery.waited",
                "The recovery of your account goes on",
                "The waiting period is over. The person who used the recovery code can now add a passkey to your account.".to_owned(),
            ),
        }
    }
}

impl Authn {
    /// Notifies a person by email, once `tx` is committed.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn notify<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        user: UserId,
        notice: &AccountNotification,
        context: &Context,
    ) -> Result<(), Error> {
        self.mail(notice, context).queue_to(tx, user, &actor(context, None, None)).await?;
        Ok(())
    }

    /// The same, to an address that was theirs until now.
    pub(crate) async fn notify_address(
        &self,
        tx: &mut Tx<Write, Identity>,
        address: &str,
        notice: &AccountNotification,
        context: &Context,
    ) -> Result<(), Error> {
        self.mail(notice, context).queue_to_address(tx, address, &actor(context, None, None)).await?;
        Ok(())
    }

    fn mail(&self, notice: &AccountNotification, context: &Context) -> Mail {
        let (kind, subject, what) = notice.words();
        let when = format_datetime(self.0.clock.now());
        let Client { device, network, .. } = &context.client;
        let yours = |what_else: &str, path: &str| {
            format!(
                "When:    {when}\n\
                 Device:  {device}\n\
                 Network: {network}\n\n\
                 If this was you, there is nothing to do.\n\n\
                 If it was not, {what_else}:\n\
                 {}\n",
                self.url(path)
            )
        };
        let end = match notice {
            // Somebody else did this. Their device and network are not for the person to see.
            AccountNotification::FactorsReset => {
                format!("When:    {when}\n\nIf you did not expect it, ask an owner or admin of your organization.\n")
            }
            AccountNotification::ClientSecret { path, .. } => {
                yours("end the client, and every session you do not know", path)
            }
            _ => yours("look at your sessions and end those you do not know", self.0.addresses.sessions),
        };
        let text = format!("{what}\n\n{end}");
        Mail { kind, subject: subject.to_owned(), text, valid_for: None }
    }

    /// The full address of a page, for emails.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.public_url)
    }
}
