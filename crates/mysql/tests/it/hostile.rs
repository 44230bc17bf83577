//! Servers that do not play by the rules.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use whimbrel_connector::ConnectErrorKind;

use crate::support::connector;

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = payload.len().to_le_bytes();
    [&[a, b, c, sequence][..], payload].concat()
}

fn greeting() -> Vec<u8> {
    let mut out = b"\x0a9.7.0\0\x07\0\0\x0012345678\0\xff\xff\x2d\x02\0\xff\xff\x15".to_vec();
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(b"90abcdefghij\0mysql_native_password\0");
    packet(0, &out)
}

const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];

async fn read_packet(socket: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    if socket.read_exact(&mut header).await.is_err() {
        return Vec::new();
    }
    let length =
        usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await.unwrap();
    payload
}

/// Serves one client: greets it, lets it in, and answers its first command with `answer`. Gives back what came after that.
async fn serve(listener: TcpListener, answer: Vec<u8>) -> Vec<u8> {
    let (mut socket, _) = listener.accept().await.unwrap();
    socket.write_all(&greeting()).await.unwrap();
    read_packet(&mut socket).await;
    socket.write_all(&packet(2, &OK)).await.unwrap();
    read_packet(&mut socket).await;
    socket.write_all(&packet(1, &answer)).await.unwrap();
    let mut rest = Vec::new();
    // The client may close at once, which is as good as saying nothing.
    socket.read_to_end(&mut rest).await.ok();
    rest
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "mysql://u:secret-password@{}",
        listener.local_addr().unwrap()
    );
    (listener, url)
}

#[tokio::test]
async fn a_server_that_asks_for_a_file_gets_nothing() {
    for in_role_of_target in [false, true] {
        let (listener, url) = listen().await;
        let serving = tokio::spawn(serve(listener, b"\xfb/etc/passwd".to_vec()));
        let connector = connector(&url);
        let error = if in_role_of_target {
            connector.target().await.err().unwrap().to_string()
        } else {
            connector.check().await.unwrap_err().to_string()
        };
        assert!(error.contains("request for a file"), "{error}");
        assert_eq!(serving.await.unwrap(), b"", "not a byte was sent");
    }
}

#[tokio::test]
async fn tls_is_never_given_up_in_silence() {
    let (listener, url) = listen().await;
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut plain = greeting();
        // Takes the flag that says TLS out of the greeting.
        let at = 4 + 1 + 6 + 4 + 9;
        plain[at + 1] &= !0x08;
        socket.write_all(&plain).await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.ok();
        rest
    });
    let error = connector(&format!("{url}?sslmode=require"))
        .check()
        .await
        .unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::TlsRefused, "{error}");
    assert_eq!(
        serving.await.unwrap(),
        b"",
        "neither user nor password was sent"
    );
}

#[tokio::test]
async fn rubbish_is_an_error_and_silence_times_out() {
    for rubbish in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0xFF; 64],
        &[0; 64],
        b"",
    ] {
        let (listener, url) = listen().await;
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(rubbish).await.unwrap();
        });
        let error = connector(&format!("{url}?connect_timeout=5"))
            .check()
            .await
            .unwrap_err();
        assert!(!error.to_string().contains("secret-password"));
        serving.await.unwrap();
    }
    let (listener, url) = listen().await;
    let error = connector(&format!("{url}?connect_timeout=1"))
        .check()
        .await
        .unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::TimedOut, "{error}");
    drop(listener);
}
