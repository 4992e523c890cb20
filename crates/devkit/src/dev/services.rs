//! The services of the app besides the database: a sign-in provider and a mailbox.

use std::net::SocketAddr;

use devkit::idp::{Client, Idp};
use devkit::mailbox::Mailbox;
use devkit::postgres::random_hex;
use devkit::seed;
use tokio::net::TcpListener;

use super::{failed, ports};

const CLIENT_ID: &str = "holdfast";

/// The sockets of the services before they run.
pub(super) struct Listeners {
    provider: TcpListener,
    mail: TcpListener,
    smtp: TcpListener,
}

/// The running services.
pub(super) struct Services {
    pub(super) issuer: String,
    /// The address of the mailbox's pages.
    pub(super) mail: SocketAddr,
    pub(super) smtp: SocketAddr,
    client_secret: String,
}

impl Listeners {
    pub(super) async fn bind() -> Result<Self, String> {
        Ok(Self {
            provider: ports::listen("sign-in provider", 3001).await?,
            mail: ports::listen("mail", 3002).await?,
            smtp: ports::listen("SMTP", 2525).await?,
        })
    }

    pub(super) fn issuer(&self) -> Result<String, String> {
        Ok(format!("http://{}", ports::address(&self.provider)?))
    }

    /// Starts the services for the app on `app_port`.
    pub(super) async fn start(self, app_port: u16) -> Result<Services, String> {
        let (issuer, mail, smtp) = (self.issuer()?, ports::address(&self.mail)?, ports::address(&self.smtp)?);
        let idp =
            Idp::start(self.provider, seed::people()).await.map_err(|error| failed("the sign-in provider", &error))?;
        Mailbox::start(self.smtp, self.mail).map_err(|error| failed("the mailbox", &error))?;
        let client_secret = random_hex(24).map_err(|error| failed("the sign-in provider", &error))?;
        idp.register(Client {
            id: CLIENT_ID.to_owned(),
            secret: client_secret.clone(),
            redirect_uris: vec![format!("http://localhost:{app_port}/sign-in/dev/callback")],
            post_logout_redirect_uris: vec![format!("http://localhost:{app_port}/signed-out")],
            backchannel_logout_uri: Some(format!("http://127.0.0.1:{app_port}/sign-in/dev/back-channel-logout")),
        });
        Ok(Services { issuer, mail, smtp, client_secret })
    }
}

impl Services {
    /// The settings of the app for these services.
    pub(super) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("HOLDFAST__MAIL__URL", format!("smtp://{}", self.smtp)),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__NAME", "Development sign-in".to_owned()),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__ISSUER", self.issuer.clone()),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__CLIENT_ID", CLIENT_ID.to_owned()),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__CLIENT_SECRET", self.client_secret.clone()),
        ]
    }
}
