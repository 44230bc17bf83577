//! The address that databases see this machine under.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Reserved for documentation (RFC 5737), so on no network that a machine has an interface in: the way there is the way to the world.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The address of the interface that leads out; the loopback address when none does. Nothing is sent to find out.
pub(crate) fn outbound() -> IpAddr {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    };
    ask().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_address_of_this_machine() {
        let address = outbound();
        assert!(!address.is_unspecified());
        // Only an address of its own can be listened at.
        assert!(UdpSocket::bind((address, 0)).is_ok(), "{address}");
    }
}
