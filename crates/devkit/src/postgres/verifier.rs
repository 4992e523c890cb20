use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// The form of a password that the server stores, for `alter role ... password`.
///
/// Iterations slow down guessing of passwords that people choose, and every connection pays for them: the server's default of 4,096
/// takes 44 ms of an unoptimized client. A random password of 128 bits or more cannot be guessed, so one iteration is enough. Never
/// use this for any other password.
///
/// The result is letters, digits and `$:+/=-`, so it needs no quoting in SQL beyond its apostrophes.
///
/// # Errors
///
/// The system has no randomness.
pub fn verifier(random_password: &str) -> Result<String, getrandom::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    Ok(of(random_password, &salt))
}

/// RFC 5802, with an iteration count of 1: `Hi` is then a single HMAC.
fn of(password: &str, salt: &[u8]) -> String {
    let salted = hmac(password.as_bytes(), &[salt, &1_u32.to_be_bytes()].concat());
    let stored = Sha256::digest(hmac(&salted, b"Client Key"));
    let server = hmac(&salted, b"Server Key");
    format!("SCRAM-SHA-256$1:{}${}:{}", STANDARD.encode(salt), STANDARD.encode(stored), STANDARD.encode(server))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}
