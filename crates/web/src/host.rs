use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};

use crate::Error;

const NO_HOST: Error = Error::Malformed("The request needs exactly one Host header that names a host.");

/// The host that this application serves. It is the host of the public URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: u16,
    default_port: u16,
}

impl Host {
    /// Returns the host of an origin. Returns `None` if the text is not an origin.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let url: Uri = url.parse().ok()?;
        let default_port = if url.scheme_str() == Some("http") { 80 } else { 443 };
        let (name, port) = (url.host()?.to_ascii_lowercase(), url.port_u16().unwrap_or(default_port));
        Some(Self { name, port, default_port })
    }

    fn is(&self, other: &Authority) -> bool {
        self.name.eq_ignore_ascii_case(other.host()) && other.port_u16().unwrap_or(self.default_port) == self.port
    }
}

/// Refuses a request that names no host or several hosts with 400 (RFC 9112, section 3.2). Refuses a request for
/// another host than `ours` with 421 (RFC 9110, section 15.5.20). Links, cookies and caches belong to one host.
///
/// Probes of orchestrators may name any address, so they have no `ours`. Without `ours`, an HTTP/1.0 request may leave
/// out the host.
pub(crate) fn refusal(request: &Request, ours: Option<&Host>) -> Option<Response> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let named = match (given.next(), given.next()) {
        (Some(value), None) => authority(value.as_bytes()),
        (None, _) if request.version() < Version::HTTP_11 && ours.is_none() => return None,
        _ => None,
    };
    let Some(named) = named else { return Some(NO_HOST.into_response()) };
    let ours = ours?;
    // A host in the request target takes precedence over the header (RFC 9112, section 3.2.2). Both must match `ours`.
    let right = ours.is(&named) && request.uri().authority().is_none_or(|target| ours.is(target));
    (!right).then(|| StatusCode::MISDIRECTED_REQUEST.into_response())
}

/// Parses a host with an optional port, and nothing else.
fn authority(value: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(value).ok()?;
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let sound = !authority.as_str().contains('@')
        && !authority.host().is_empty()
        && port.is_none_or(|port| port.is_empty() || authority.port_u16().is_some());
    sound.then_some(authority)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn status(version: Version, target: &str, hosts: &[&str], ours: Option<&str>) -> u16 {
        let mut request = Request::builder().version(version).uri(target).body(Body::empty()).unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, host.parse().unwrap());
        }
        let ours = ours.map(|ours| Host::of(ours).unwrap());
        refusal(&request, ours.as_ref()).map_or(200, |response| response.status().as_u16())
    }

    #[test]
    fn a_request_names_one_host() {
        for ours in [None, Some("https://app.acme.example")] {
            for hosts in [
                &[][..],
                &["app.acme.example", "app.acme.example"],
                &[""],
                &["me@app.acme.example"],
                &["app.acme.example:http"],
                &["app.acme.example/path"],
                &["a b"],
            ] {
                assert_eq!(status(Version::HTTP_11, "/", hosts, ours), 400, "{hosts:?} {ours:?}");
            }
        }
        assert_eq!(status(Version::HTTP_10, "/", &[], None), 200);
        assert_eq!(status(Version::HTTP_10, "/", &[], Some("https://app.acme.example")), 400);
    }

    #[test]
    fn it_names_ours() {
        let (ours, other) = ("https://app.acme.example", "https://app.acme.example:8443");
        for (hosts, ours, expected) in [
            ("app.acme.example", ours, 200),
            ("APP.Acme.example:443", ours, 200),
            ("app.acme.example:", ours, 200),
            ("app.acme.example:8443", ours, 421),
            ("app.acme.example:80", ours, 421),
            ("app.acme.example.", ours, 421),
            ("evil.example", ours, 421),
            ("app.acme.example.evil.example", ours, 421),
            ("127.0.0.1:8080", ours, 421),
            ("[::1]:8080", ours, 421),
            ("app.acme.example:8443", other, 200),
            ("app.acme.example", other, 421),
            ("localhost:8080", "http://localhost:8080", 200),
        ] {
            assert_eq!(status(Version::HTTP_11, "/", &[hosts], Some(ours)), expected, "{hosts}");
        }
        let target = |target| status(Version::HTTP_11, target, &["app.acme.example"], Some(ours));
        assert_eq!((target("https://app.acme.example/"), target("http://evil.example/")), (200, 421));
    }
}
