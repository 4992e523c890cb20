//! Lenient parsing of provider responses. Members that are not needed are not parsed, and an optional member may have
//! the wrong type. Providers differ, and one wrong claim must not lock out all users of a provider.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// Deserializes a member. If it cannot be parsed, it counts as missing.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// Deserializes a list of strings, or a single string. Anything else counts as an empty list.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    Ok(match Value::deserialize(from)? {
        Value::Array(values) => values.into_iter().filter_map(text).collect(),
        value => text(value).into_iter().collect(),
    })
}

/// An identifier that some providers write as a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Identifier {
    Text(String),
    Number(Number),
}

impl Identifier {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Seconds since 1970. Fractions are dropped (RFC 7519, section 2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumericDate(DateTime<Utc>);

impl NumericDate {
    pub(crate) fn time(self) -> DateTime<Utc> {
        self.0
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(from)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it saturates above the largest time, which is then refused"
        )]
        let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64));
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        time.map(Self).ok_or_else(|| serde::de::Error::custom("not a time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Claims {
        #[serde(default, deserialize_with = "optional")]
        sid: Option<Identifier>,
        #[serde(default, deserialize_with = "texts")]
        amr: Vec<String>,
        #[serde(default, deserialize_with = "optional")]
        nbf: Option<NumericDate>,
        #[serde(default, deserialize_with = "optional")]
        sure: Option<bool>,
    }

    // control: IDN-03
    #[test]
    fn what_nothing_needs_may_be_of_any_type_or_missing() {
        let read = |text: &str| serde_json::from_str::<Claims>(text).unwrap();
        for (text, sid) in [
            (r#"{"sid":"a"}"#, Some("a")),
            (r#"{"sid":17}"#, Some("17")),
            (r#"{"sid":null}"#, None),
            (r#"{"sid":{"a":1}}"#, None),
            ("{}", None),
        ] {
            assert_eq!(read(text).sid.map(Identifier::into_text).as_deref(), sid, "{text}");
        }
        for (text, amr) in [
            (r#"{"amr":"pwd"}"#, vec!["pwd"]),
            (r#"{"amr":["pwd",1,null,"otp"]}"#, vec!["pwd", "otp"]),
            (r#"{"amr":true}"#, vec![]),
            ("{}", vec![]),
        ] {
            assert_eq!(read(text).amr, amr, "{text}");
        }
        for (text, nbf) in [
            (r#"{"nbf":1000}"#, Some(1000)),
            (r#"{"nbf":1000.75}"#, Some(1000)),
            (r#"{"nbf":1e300}"#, None),
            (r#"{"nbf":"1000"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(read(text).nbf.map(|nbf| nbf.time().timestamp()), nbf, "{text}");
        }
        for (text, sure) in [(r#"{"sure":true}"#, Some(true)), (r#"{"sure":"true"}"#, None), (r#"{"sure":1}"#, None)] {
            assert_eq!(read(text).sure, sure, "{text}");
        }
    }
}
