use serde_json::json;
use webauthn_rs::prelude::Passkey;

use crate::secret::base64url;

/// Returns a fake passkey with this credential id. Its caller has already refused the response that is verified against
/// it. The key is the base point of P-256 (SEC 2, section 2.4.2), because almost every authenticator uses P-256.
pub(super) fn decoy(credential_id: &[u8]) -> Result<Passkey, serde_json::Error> {
    serde_json::from_value(json!({ "cred": {
        "cred_id": base64url(credential_id),
        "cred": { "type_": "ES256", "key": { "EC_EC2": {
            "curve": "SECP256R1",
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        } } },
        "counter": 0,
        "transports": null,
        "user_verified": true,
        "backup_eligible": false,
        "backup_state": false,
        "registration_policy": "required",
        "extensions": { "cred_protect": "Ignored", "hmac_create_secret": "Ignored", "cred_props": "Ignored" },
        "attestation": { "data": "None", "metadata": "None" },
        "attestation_format": "none",
    } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: IDN-13
    #[test]
    fn a_decoy_has_the_requested_credential_id() {
        let decoy = decoy(b"a credential id that is long enough").unwrap();
        assert_eq!(decoy.cred_id().as_slice(), b"a credential id that is long enough");
    }
}
