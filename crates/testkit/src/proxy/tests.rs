//! Each fault, seen from a client of a server that sends back what it gets.

#![allow(
    clippy::disallowed_methods,
    reason = "what a test begins ends with the test"
)]

use std::time::Instant;

use super::*;

/// Waits for what must not come are this long; those for what must come are bounded by the test runner.
const MOMENT: Duration = Duration::from_millis(100);

async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn connected() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::start(echo_server().await).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    echo(&mut client, b"hello").await.unwrap();
    (proxy, client)
}

async fn echo(client: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    client.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    client.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn without_a_fault_everything_passes() {
    let (proxy, mut client) = connected().await;
    let sent: Vec<u8> = (0..100_000_u32)
        .flat_map(u32::to_le_bytes)
        .take(60_000)
        .collect();
    assert_eq!(echo(&mut client, &sent).await.unwrap(), sent);
    assert_eq!(proxy.passed_bytes(), (60_005, 60_005));
}

#[tokio::test]
async fn cut_ends_connections_and_lets_new_ones_pass() {
    let (proxy, mut client) = connected().await;
    proxy.cut();
    assert!(echo(&mut client, b"gone").await.is_err());
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut client, b"again").await.unwrap(), b"again");
}

#[tokio::test]
async fn cut_after_passes_exactly_so_many_bytes_and_then_is_over() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::CutAfter { bytes: 3 });
    client.write_all(b"hello").await.unwrap();
    let mut got = vec![0; 3];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, b"hel");
    assert!(client.read_exact(&mut got).await.is_err());
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut client, b"again").await.unwrap(), b"again");
}

#[tokio::test]
async fn a_cut_that_has_not_come_is_taken_back_and_nothing_else_is() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::CutAfter { bytes: 3 });
    proxy.disarm();
    assert_eq!(echo(&mut client, b"hello").await.unwrap(), b"hello");
    proxy.set(Fault::Refuse);
    proxy.disarm();
    assert!(echo(&mut client, b"gone").await.is_err());
}

#[tokio::test]
async fn stall_moves_nothing_until_it_is_lifted() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::Stall);
    client.write_all(b"later").await.unwrap();
    let mut got = vec![0; 5];
    assert!(
        tokio::time::timeout(MOMENT, client.read_exact(&mut got))
            .await
            .is_err()
    );
    proxy.set(Fault::None);
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, b"later");
}

#[tokio::test]
async fn lose_takes_bytes_and_says_nothing() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::Lose);
    let answer = echo(&mut client, b"lost");
    assert!(tokio::time::timeout(MOMENT, answer).await.is_err());
}

#[tokio::test]
async fn refuse_ends_old_and_new_connections() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::Refuse);
    assert!(echo(&mut client, b"old").await.is_err());
    if let Ok(mut client) = TcpStream::connect(proxy.address()).await {
        assert!(echo(&mut client, b"new").await.is_err());
    }
}

#[tokio::test]
async fn throttle_slows_the_bytes_down() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::Throttle {
        bytes_per_s: 100_000,
    });
    let start = Instant::now();
    // Two pieces each way at the least: the second waits for the first.
    let sent = vec![7; 3 * PIECE_BYTES];
    assert_eq!(echo(&mut client, &sent).await.unwrap(), sent);
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn answers_alone_are_lost_and_counted() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::LoseAnswers);
    client.write_all(b"lost").await.unwrap();
    while proxy.lost_bytes() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(proxy.passed_bytes(), (9, 5));
}

#[tokio::test]
async fn delayed_bytes_arrive_later() {
    let (proxy, mut client) = connected().await;
    proxy.set(Fault::Delay { ms: 100 });
    let began = Instant::now();
    assert_eq!(echo(&mut client, b"slow").await.unwrap(), b"slow");
    assert!(began.elapsed() >= 2 * MOMENT);
}

#[tokio::test]
async fn new_connections_are_led_to_another_server() {
    let (proxy, mut client) = connected().await;
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    proxy.lead_to(other.local_addr().unwrap());
    assert_eq!(echo(&mut client, b"old").await.unwrap(), b"old");
    let led = TcpStream::connect(proxy.address());
    let (led, taken) = tokio::join!(led, other.accept());
    led.unwrap();
    taken.unwrap();
    assert_eq!(proxy.connections(), 2);
}
