//! Chooses ports: the usual ones, or free ones if those are taken.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as Probe, TcpStream};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::say;

/// Listens on a port of 127.0.0.1.
pub(super) async fn listen(what: &str, wanted: u16) -> Result<TcpListener, String> {
    let port = choose(what, wanted)?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}; start bin/dev again"))
}

/// The wanted port, or another one that is free.
fn choose(what: &str, wanted: u16) -> Result<u16, String> {
    if is_free(wanted) {
        return Ok(wanted);
    }
    let free = free()?;
    say(&format!("Port {wanted} is taken; the {what} gets {free}."));
    Ok(free)
}

/// A port of 127.0.0.1 that nobody uses now.
pub(super) fn free() -> Result<u16, String> {
    Probe::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|probe| probe.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no port of 127.0.0.1 is free: {error}; end a program that listens"))
}

pub(super) fn address(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("a listener has closed: {error}; start bin/dev again"))
}

/// Whether nobody listens there. Browsers try `localhost` at `::1` as well, so both must be free.
fn is_free(port: u16) -> bool {
    let answers = |ip: IpAddr| TcpStream::connect_timeout(&(ip, port).into(), Duration::from_millis(200)).is_ok();
    // macOS lets us listen beside a program that listens on all addresses, so trying to listen is not enough there.
    let taken =
        |ip: IpAddr| answers(ip) || Probe::bind((ip, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    let bound = Probe::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    bound && !taken(Ipv4Addr::LOCALHOST.into()) && !taken(Ipv6Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced() -> Result<(), Box<dyn std::error::Error>> {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv4Addr::UNSPECIFIED)] {
            let other = Probe::bind((ip, 0))?;
            let port = other.local_addr()?.port();
            assert_ne!(choose("app", port)?, port);
            drop(other);
            assert_eq!(choose("app", port)?, port);
        }
        Ok(())
    }
}
