use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::field_names::names;
use crate::form::parse;

/// The query string of a page. Unknown parameters are ignored, because campaigns, email programs and networks add their
/// own to links. Known parameters follow the rules of [`Form`](crate::Form). A repeated parameter gets 422.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The query string of an API route. An unknown parameter is a mistake of the client and gets 422.
#[derive(Debug)]
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        let known: Vec<&str> = query.split('&').filter(|pair| knows::<T>(pair)).collect();
        parse(known.join("&").as_bytes()).map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parse(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

/// Whether `T` has a field for this `name=value`.
fn knows<T: DeserializeOwned>(pair: &str) -> bool {
    let name = serde_html_form::from_str::<Vec<(String, String)>>(pair).unwrap_or_default();
    name.iter().any(|(name, _)| names::<T>().contains(&&**name))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Find {
        #[serde(default)]
        q: String,
    }

    async fn read(query: &str) -> Result<String, u16> {
        let (mut parts, ()) = Request::get(format!("/?{query}")).body(()).unwrap().into_parts();
        let read = Query::<Find>::from_request_parts(&mut parts, &()).await;
        read.map(|Query(Find { q })| q).map_err(|error| error.status().as_u16())
    }

    #[tokio::test]
    async fn what_a_page_does_not_know_is_ignored_and_what_it_knows_is_read_strictly() {
        for query in
            ["q=a", "q=a&utm_source=x", "fbclid=x&q=a", "utm=1&utm=2&q=a", "x=%ff&q=a", "x=%00&q=a", "%zz&q=a&&"]
        {
            assert_eq!(read(query).await, Ok("a".to_owned()), "{query}");
        }
        assert_eq!(read("").await, Ok(String::new()));
        for (query, status) in [("q=a&q=b", 422), ("q=a&%71=b", 422), ("q=%ff", 400), ("q=%00", 422), ("q=%", 400)] {
            assert_eq!(read(query).await, Err(status), "{query}");
        }
    }
}
