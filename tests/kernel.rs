//! A whole server on kernel sockets: cores, threads, drain, errors.
#![cfg(feature = "kernel")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sidestep::app::{App, ConnId, CoreContext, Mailbox, Peer, Refuse, Rx, RxBuf, Tx};
use sidestep::runtime::{Backend, Poll, Stop};
use sidestep::{Error, Server};

/// Sends everything back, and what is posted to the connection too.
struct Echo {
    mailbox: Mailbox<u8>,
    opened: mpsc::Sender<(ConnId, Mailbox<u8>)>,
}

/// What was taken and finds no space, and whether the peer has finished.
type Kept = (Option<RxBuf>, bool);

impl App for Echo {
    type Conn = Kept;
    type Message = u8;

    fn on_open(&mut self, peer: &Peer, _: &mut Tx<'_>) -> Result<Kept, Refuse> {
        let told = self.opened.send((peer.id, self.mailbox.clone()));
        told.map(|()| (None, false)).map_err(|_| Refuse)
    }

    fn on_data(&mut self, kept: &mut Kept, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        if kept.0.is_none() && !rx.is_empty() {
            kept.0 = rx.hold(rx.len());
        }
        kept.1 = rx.fin() && rx.is_empty();
        self.on_space(kept, tx);
    }

    fn on_space(&mut self, kept: &mut Kept, tx: &mut Tx<'_>) {
        kept.0 = kept.0.take().and_then(|buf| tx.send(buf).err());
        if kept.0.is_none() && kept.1 {
            tx.finish();
        }
    }

    fn on_message(&mut self, _: &mut Kept, byte: u8, tx: &mut Tx<'_>) {
        assert_eq!(tx.write(&[byte]), 1, "an idle connection has space");
    }

    fn on_drain(&mut self, kept: &mut Kept, tx: &mut Tx<'_>) {
        if kept.0.is_none() {
            tx.finish();
        }
    }
}

type Opened = mpsc::Receiver<(ConnId, Mailbox<u8>)>;

/// Runs a server on two cores while `client` does its part, then drains it.
fn serve(at: &str, poll: Poll, client: impl FnOnce(SocketAddr, &Opened, &Stop) + Send) {
    let at: SocketAddr = at.parse().expect("an address");
    let (ready, listening) = mpsc::channel();
    let (opened, told) = mpsc::channel();
    let stop = Stop::new();
    thread::scope(|scope| {
        let drain = stop.clone();
        let client = scope.spawn(move || {
            let at = listening.recv().expect("the server came up");
            client(at, &told, &drain);
            drain.drain();
        });
        let server = Server::builder()
            .backend(Backend::Kernel)
            .poll(poll)
            .drain(Duration::from_secs(60))
            .cores(0..=processors() - 1)
            .listen(at)
            .on_ready(move |up| ready.send(up.listen[0]).expect("the client waits"));
        let ended = server.run_until(&stop, |core: CoreContext<u8>| Echo {
            mailbox: core.mailbox,
            opened: opened.clone(),
        });
        ended.expect("a server");
        client.join().expect("a content client");
    });
}

/// At most two of them.
fn processors() -> u32 {
    thread::available_parallelism().map_or(1, |n| n.get().min(2) as u32)
}

fn exchange(at: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let mut reader = TcpStream::connect(at)?;
    let mut writer = reader.try_clone()?;
    thread::scope(|scope| {
        let writing = scope.spawn(move || {
            writer.write_all(sent)?;
            writer.shutdown(Shutdown::Write)
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got)?;
        writing.join().expect("a writer")?;
        Ok(got)
    })
}

#[test]
fn every_byte_comes_back_from_every_core_however_it_polls() {
    let sent: Vec<u8> = (0..1u32 << 20).flat_map(u32::to_le_bytes).collect();
    for (at, poll) in
        [("127.0.0.1:0", Poll::Sleep), ("[::1]:0", Poll::Busy), ("127.0.0.1:0", Poll::Adaptive)]
    {
        serve(at, poll, |at, opened, _| {
            let mut cores = Vec::new();
            // The kernel spreads connections by their ports; 40 on one core are an accident that
            // happens once in 2^39 runs.
            for n in 0..40 {
                let sent = if n % 20 == 0 { &sent[..] } else { &sent[..n] };
                assert!(exchange(at, sent).expect("an echo") == sent, "bytes were lost or changed");
                cores.push(opened.recv().expect("opened").0.core());
            }
            cores.sort_unstable();
            cores.dedup();
            assert_eq!(cores.len() as u32, processors());
        });
    }
}

#[test]
fn a_message_from_this_thread_wakes_a_sleeping_core_and_a_drain_ends_what_is_idle() {
    serve("127.0.0.1:0", Poll::Sleep, |at, opened, stop| {
        let mut stream = TcpStream::connect(at).expect("a server");
        let (id, mailbox) = opened.recv().expect("opened");
        for byte in 0..100 {
            mailbox.post(id, byte).expect("room");
            let mut got = [0];
            stream.read_exact(&mut got).expect("an answer");
            assert_eq!(got[0], byte);
        }
        stop.drain();
        // With a FIN, not with a reset.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an orderly end");
        assert!(rest.is_empty());
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("bound");
    let server = Server::builder().backend(Backend::Kernel).listen(at);
    let (opened, _told) = mpsc::channel();
    let error = server.run_until(&Stop::new(), |core: CoreContext<u8>| Echo {
        mailbox: core.mailbox,
        opened: opened.clone(),
    });
    let Err(error @ Error::Machine { .. }) = error else { panic!("{error:?}") };
    let text = error.to_string();
    assert!(text.contains(&format!("listening on {at}: bind failed (Address already in use")));
    assert!(text.contains(&format!("sport = :{}'", at.port())) && !text.contains('\n'), "{text}");
}
