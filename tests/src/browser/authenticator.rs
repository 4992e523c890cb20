use serde_json::{Value, json};

use super::Page;

impl Page {
    /// Gives the page a platform authenticator that keeps passkeys and says yes to everything, its holder verified.
    pub(crate) async fn add_authenticator(&self) -> Authenticator<'_> {
        self.add("internal", true).await
    }

    /// Gives the page a security key that has no room for passkeys: it knows one only when it is told its id.
    pub(crate) async fn add_small_key(&self) -> Authenticator<'_> {
        self.add("usb", false).await
    }

    async fn add(&self, transport: &str, keeps_passkeys: bool) -> Authenticator<'_> {
        self.send("WebAuthn.enable", json!({})).await;
        let options = json!({
            "protocol": "ctap2",
            "transport": transport,
            "hasResidentKey": keeps_passkeys,
            "hasUserVerification": true,
            "isUserVerified": true,
            "automaticPresenceSimulation": true,
            "defaultBackupEligibility": keeps_passkeys,
        });
        let id = self.send("WebAuthn.addVirtualAuthenticator", json!({ "options": options })).await;
        Authenticator { page: self, id: id["authenticatorId"].clone() }
    }
}

/// A virtual authenticator of Chromium.
pub(crate) struct Authenticator<'a> {
    page: &'a Page,
    id: Value,
}

impl Authenticator<'_> {
    /// What it holds.
    pub(crate) async fn credentials(&self) -> Vec<Value> {
        let found = self.page.send("WebAuthn.getCredentials", json!({ "authenticatorId": self.id })).await;
        found["credentials"].as_array().cloned().unwrap_or_default()
    }

    /// Whether its holder is verified from now on.
    pub(crate) async fn verify_holder(&self, verified: bool) {
        let params = json!({ "authenticatorId": self.id, "isUserVerified": verified });
        self.page.send("WebAuthn.setUserVerified", params).await;
    }
}
