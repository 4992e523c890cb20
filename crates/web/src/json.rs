use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::form::{Kind, read, unexpected};
use crate::page::RenderedPage;

const JSON: Kind = ("application/json", "This address takes JSON (application/json).");

/// A JSON document. As a request body it follows the rules of [`Form`](crate::Form), and `T` is a struct that denies
/// unknown fields. As a response it is sent as JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// SHA-256 of the body that a signature covers. The code that verified the signature adds it to the request. A body
/// with another digest is refused.
#[derive(Clone, Debug)]
pub struct BodyDigest(pub [u8; 32]);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts, body, JSON).await?;
        if let Some(BodyDigest(signed)) = parts.extensions.get::<BodyDigest>()
            && Sha256::digest(&bytes)[..] != signed[..]
        {
            let challenge = HeaderValue::from_static("Signature error=\"invalid_digest\"");
            return Err(Error::Challenge(challenge, "The body is not the one that was signed."));
        }
        let text = str::from_utf8(&bytes).map_err(|_| Error::Malformed("What was sent is not UTF-8."))?;
        if text.contains("\\u0000") {
            return Err(unexpected("a NUL character"));
        }
        serde_json::from_str(text).map(Self).map_err(|error| match error.classify() {
            Category::Data => unexpected(error),
            _ => Error::Malformed("What was sent is not one JSON document."),
        })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(text) => {
                let kind = HeaderValue::from_static("application/json");
                let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response();
                // The edge leaves the response as it is, even if it reports a failure.
                response.extensions_mut().insert(RenderedPage);
                response
            }
            Err(error) => Error::from(error).into_response(),
        }
    }
}
