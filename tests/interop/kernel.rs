//! The kernel's side: plain sockets that send everything, and take it back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::cell::Cell;
use super::stage::Stage;

/// Bound of every wait for the other side.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent: bytes that look random.
pub(crate) struct Block(Vec<u8>);

impl Block {
    pub(crate) fn new(len: usize) -> Block {
        let mut random = sidestep::sim::Rng::new(64);
        let words = (0..len.div_ceil(8)).map(|_| random.next_u64().to_le_bytes());
        Block(words.flatten().take(len).collect())
    }
}

/// Makes the socket that we will connect to, if it is for us to connect.
pub(crate) fn listen(stage: &Stage, cell: &Cell) -> Option<TcpListener> {
    let listener = || TcpListener::bind(stage.kernel_address).expect("an address of this host");
    (!cell.kernel_opens).then(|| stage.kernel.inside(listener).expect("inside"))
}

/// Opens or accepts the connection, sends the block, and compares what comes back with it. Returns
/// what `ss` says of the socket.
pub(crate) fn converse(
    stage: &Stage,
    listener: Option<&TcpListener>,
    block: &Block,
) -> Result<String, String> {
    let stream = match listener {
        Some(listener) => accept(listener)?,
        None => TcpStream::connect_timeout(&stage.our_address, PATIENCE)
            .map_err(|error| format!("connecting to us: {error}"))?,
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let said = described()?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&stream, block));
        let received = compare(&stream, block);
        if received.is_err() {
            // Otherwise the sender waits for its time to be over.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let sent = sender.join().expect("errors, not panics");
        received.and(sent)
    })?;
    Ok(said)
}

fn accept(listener: &TcpListener) -> Result<TcpStream, String> {
    listener.set_nonblocking(true).expect("a socket");
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a socket");
            return Ok(stream);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(String::from("we never connected to the kernel"))
}

fn send(mut stream: &TcpStream, block: &Block) -> Result<(), String> {
    stream.write_all(&block.0).map_err(|error| format!("sending: {error}"))?;
    stream.shutdown(Shutdown::Write).map_err(|error| format!("finishing: {error}"))
}

fn compare(mut stream: &TcpStream, block: &Block) -> Result<(), String> {
    let mut back = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let n = stream.read(&mut back).map_err(|error| format!("reading at byte {at}: {error}"))?;
        if n == 0 {
            break;
        }
        if block.0.get(at..at + n) != Some(&back[..n]) {
            return Err(format!("of the {n} bytes at {at} some are wrong"));
        }
        at += n;
    }
    let all = block.0.len();
    if at == all { Ok(()) } else { Err(format!("{at} of {all} bytes came back")) }
}

/// Options and segment sizes of the one established connection of this namespace.
fn described() -> Result<String, String> {
    let output = Command::new("ss").args(["-tionH", "state", "established"]).output();
    let output = output.expect("iproute2");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().nth(1).map(str::trim).unwrap_or_default();
    if line.is_empty() { Err(format!("ss knows no connection: {said:?}")) } else { Ok(line.into()) }
}
