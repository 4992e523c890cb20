use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::form::{self, FORM};
use crate::page::Shell;
use crate::{Error, FieldErrors, FieldName};

/// The name of the field.
pub(crate) const FIELD: &str = "one_time_key";

/// The form of a route that creates something, with the one-time key of its page. If it is submitted twice, it creates
/// one thing.
///
/// It follows the rules of [`Form`](crate::Form), and responds with 422 if the key is not valid. A form without a key
/// is not protected from double submission.
#[derive(Debug)]
pub struct FormOnce<T>(pub T, pub OneTimeKey);

/// Identifies a form that was submitted before.
#[derive(Clone, Copy, Debug)]
pub struct OneTimeKey {
    /// The key.
    pub key: Option<Uuid>,
    /// SHA-256 of the path and of the form without its key.
    pub request_hash: [u8; 32],
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for FormOnce<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let bytes = form::read(&parts, body, FORM).await?;
        let (key, rest) = take_key(&bytes)?;
        let input = form::parse(&rest)?;
        let request_hash =
            Sha256::new().chain_update(parts.uri.path()).chain_update([0]).chain_update(&rest).finalize();
        Ok(Self(input, OneTimeKey { key, request_hash: request_hash.into() }))
    }
}

/// Separates the key from the form. The name must be spelled exactly: a percent-encoded spelling is an unknown field.
fn take_key(bytes: &[u8]) -> Result<(Option<Uuid>, Vec<u8>), Error> {
    let value_of =
        |pair: &&[u8]| pair.strip_prefix(FIELD.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'=', ..]));
    let (keys, rest): (Vec<&[u8]>, Vec<&[u8]>) = bytes.split(|byte| *byte == b'&').partition(value_of);
    let key = match keys[..] {
        [] => None,
        [pair] => Some(read(pair).ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    Ok((key, rest.join(&b'&')))
}

fn read(pair: &[u8]) -> Option<Uuid> {
    let text = str::from_utf8(pair).ok()?.strip_prefix(FIELD)?.strip_prefix('=')?;
    let key: Uuid = text.parse().ok()?;
    (key.to_string() == text).then_some(key)
}

fn malformed() -> Error {
    let text = "The key of this form is not one of ours. Load the page again, and send the form from there.";
    FieldErrors::of(FieldName::FORM, text).into()
}

impl Shell {
    /// Returns the one-time key of this page. It is derived from the nonce, which is random and different on every
    /// page. It does not reveal the nonce.
    #[must_use]
    pub fn one_time_key(&self) -> Uuid {
        let hash = Sha256::new().chain_update(FIELD).chain_update([0]).chain_update(&*self.nonce).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "018f0000-0000-4000-8000-0000000000ab";

    fn taken(form: &str) -> Result<(bool, String), u16> {
        take_key(form.as_bytes())
            .map(|(key, rest)| (key.is_some(), String::from_utf8(rest).unwrap()))
            .map_err(|error| error.status().as_u16())
    }

    #[test]
    fn the_key_is_removed_from_any_position_in_a_form() {
        assert_eq!(taken("name=a"), Ok((false, "name=a".to_owned())));
        for form in [format!("one_time_key={KEY}&name=a"), format!("name=a&one_time_key={KEY}")] {
            assert_eq!(taken(&form), Ok((true, "name=a".to_owned())), "{form}");
        }
        assert_eq!(taken("one_time_keys=a"), Ok((false, "one_time_keys=a".to_owned())));
    }

    #[test]
    fn a_key_that_no_page_of_ours_has_is_refused() {
        let twice = format!("{KEY}&one_time_key={KEY}");
        let (upper, braced, simple) = (KEY.to_uppercase(), format!("{{{KEY}}}"), KEY.replace('-', ""));
        for key in ["", "x", "1", "%00", &twice, &upper, &braced, &simple] {
            assert_eq!(taken(&format!("one_time_key={key}")), Err(422), "{key}");
        }
        assert_eq!(taken("one_time_key"), Err(422));
    }
}
