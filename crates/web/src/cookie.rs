//! Cookies. Each has the prefix `__Host-Http-` (this host only, over TLS, set by a response and never by a script),
//! `Secure`, `HttpOnly` and `Path=/`.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// When the browser sends the cookie.
#[derive(Clone, Copy, Debug)]
pub enum SameSite {
    /// Only with requests that our own pages make.
    Strict,
    /// Also when a person follows a link or redirect from another site.
    Lax,
}

/// Returns the value of the cookie `__Host-Http-{name}`. Returns `None` if it is missing, or if it occurs with
/// different values, which is a sign of an attack.
#[must_use]
pub fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("__Host-Http-")?.strip_prefix(name)?.strip_prefix('='));
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// Sets `__Host-Http-{name}`. `value` must be valid in a cookie (base64url). `max_age` is in seconds. With `None` the
/// cookie lasts until the browser closes.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str, same_site: SameSite, max_age: Option<u64>) {
    if let Some(cookie) = header_value(name, value, same_site, max_age) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Builds the header value that [`set`] adds, for a response that does not exist yet.
#[must_use]
pub fn header_value(name: &str, value: &str, same_site: SameSite, max_age: Option<u64>) -> Option<HeaderValue> {
    let mut cookie = format!("__Host-Http-{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site:?}");
    if let Some(seconds) = max_age {
        cookie.push_str("; Max-Age=");
        cookie.push_str(&seconds.to_string());
    }
    HeaderValue::try_from(cookie).ok()
}

/// Returns the first value that a response sets for `__Host-Http-{name}`. It is empty if the response removes the
/// cookie.
#[must_use]
pub fn value_in_response<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(header::SET_COOKIE).iter().find_map(|cookie| {
        let pair = cookie.to_str().ok()?.split(';').next()?;
        pair.strip_prefix("__Host-Http-")?.strip_prefix(name)?.strip_prefix('=')
    })
}

/// Replaces `__Host-Http-{name}` in the headers of a request and keeps the other cookies.
pub fn replace(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = format!("__Host-Http-{name}");
    let others = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let others = others.flat_map(|line| line.split(';')).map(str::trim);
    let others = others.filter(|pair| pair.split_once('=').is_some_and(|(other, _)| other != name));
    let mut line: String = others.flat_map(|pair| [pair, "; "]).collect();
    line.extend([&name, "=", value]);
    if let Ok(line) = HeaderValue::try_from(line) {
        headers.insert(header::COOKIE, line);
    }
}

/// Removes `__Host-Http-{name}` from the browser.
pub fn remove(headers: &mut HeaderMap, name: &str) {
    set(headers, name, "", SameSite::Strict, Some(0));
}

/// Merges the cookies of both responses into `done`. The cookies of `done` are newer, so they come last.
#[must_use]
pub fn with_cookies_of(before: &Response, mut done: Response) -> Response {
    let newer: Vec<_> = done.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
    done.headers_mut().remove(header::SET_COOKIE);
    for cookie in before.headers().get_all(header::SET_COOKIE).iter().cloned().chain(newer) {
        done.headers_mut().append(header::SET_COOKIE, cookie);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_comes_twice_with_two_values_is_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; __Host-Http-session=x; __Host-Http-sessions=z".parse().unwrap());
        assert_eq!(get(&headers, "session"), Some("x"));
        headers.append(header::COOKIE, "__Host-Http-session=y".parse().unwrap());
        assert_eq!(get(&headers, "session"), None);
    }

    #[test]
    fn a_cookie_takes_the_place_of_an_older_one() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; __Host-Http-session=old; __Host-Http-sessions=z", "__Host-Http-session=older; b=2=3"] {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        replace(&mut headers, "session", "new");
        let lines: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; __Host-Http-sessions=z; b=2=3; __Host-Http-session=new"]);
        assert_eq!(get(&headers, "session"), Some("new"));
    }
}
