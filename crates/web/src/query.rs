use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::Error;
use crate::form::parse;

/// The query string of a page. Unknown parameters are ignored, because campaigns, email programs and networks add theirs to
/// every link. Known ones follow the rules of [`Form`](crate::Form). A repeated one is a 422.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The query string of an API route. An unknown parameter is a mistake in the client: 422.
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
    let mut fields = Fields(&[]);
    let _ = T::deserialize(&mut fields);
    let name = serde_urlencoded::from_str::<Vec<(String, String)>>(pair).unwrap_or_default();
    name.iter().any(|(name, _)| fields.0.contains(&&**name))
}

/// Deserializes nothing, but records the names of the fields.
struct Fields(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut Fields {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0 = fields;
        Err(de::Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("a query string is read into a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
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
