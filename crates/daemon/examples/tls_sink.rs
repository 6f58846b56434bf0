//! The other end for bench/tls-out: takes mail under STARTTLS, throws it away and counts it.
//!
//!     cargo run --release -p daemon --example tls_sink -- 127.0.0.1:2626
//!
//! Called like Postfix's `smtp-sink` (options are passed over, the address is the last but one or the last word), so that the
//! benchmark kit can have it in that one's place. Writes `mesg=N` whenever the count has moved, a hundred times a second at
//! most. It demands TLS before MAIL: what is counted came through a channel. Its certificate is made at start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How often the count is written.
const TELL_EVERY: Duration = Duration::from_millis(10);
/// Octets of one read.
const READ: usize = 64 * 1024;

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1);
    let address: SocketAddr = words.find_map(|word| word.parse().ok()).ok_or("which address? 127.0.0.1:2626")?;
    let acceptor = acceptor()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(address).await?;
        let count = Arc::new(AtomicU64::new(0));
        tokio::spawn(tell(Arc::clone(&count)));
        loop {
            let (stream, _) = listener.accept().await?;
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                // A client that goes away in the middle is not the sink's concern.
                let _ = serve(stream, &acceptor, &count).await;
            });
        }
    })
}

fn acceptor() -> Result<TlsAcceptor, Fault> {
    let made = rcgen::generate_simple_self_signed(vec!["sink.test".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn tell(count: Arc<AtomicU64>) {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let now = count.load(Ordering::Relaxed);
        if now != told {
            told = now;
            println!("mesg={now}");
        }
    }
}

async fn serve(mut stream: TcpStream, acceptor: &TlsAcceptor, count: &AtomicU64) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 sink.test ESMTP\r\n").await?;
    if talk(&mut stream, false, count).await? {
        let mut stream = acceptor.accept(stream).await?;
        talk(&mut stream, true, count).await?;
        // The word of goodbye may find nobody.
        let _ = stream.shutdown().await;
    }
    Ok(())
}

/// Answers commands until the client leaves; true: it asked for TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    secure: bool,
    count: &AtomicU64,
) -> Result<bool, Fault> {
    let (mut buffer, mut rest, mut in_data) = (vec![0; READ], Vec::new(), false);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(false);
        }
        rest.extend_from_slice(&buffer[..read]);
        let mut replies = Vec::new();
        let mut last = false;
        loop {
            if in_data {
                let Some(end) = rest.windows(5).position(|five| five == b"\r\n.\r\n") else {
                    // What may be the beginning of the end stays.
                    rest.drain(..rest.len().saturating_sub(4));
                    break;
                };
                rest.drain(..end + 5);
                in_data = false;
                count.fetch_add(1, Ordering::Relaxed);
                replies.extend_from_slice(b"250 2.0.0 Ok\r\n");
                continue;
            }
            let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { break };
            let line: Vec<u8> = rest.drain(..end + 2).collect();
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let reply: &[u8] = match verb.as_slice() {
                b"EHLO" if secure => b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n",
                b"EHLO" => b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
                b"STAR" if !secure => {
                    stream.write_all(b"220 2.0.0 Go ahead\r\n").await?;
                    return Ok(true);
                }
                b"MAIL" | b"DATA" if !secure => b"530 5.7.0 TLS first\r\n",
                b"DATA" => {
                    in_data = true;
                    // So that an end without a line before it is seen as well.
                    rest.splice(0..0, *b"\r\n");
                    b"354 Go on\r\n"
                }
                b"QUIT" => {
                    last = true;
                    b"221 2.0.0 Bye\r\n"
                }
                b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" | b"HELO" => b"250 2.0.0 Ok\r\n",
                _ => b"500 5.5.1 What?\r\n",
            };
            replies.extend_from_slice(reply);
        }
        stream.write_all(&replies).await?;
        stream.flush().await?;
        if last {
            return Ok(false);
        }
    }
}
