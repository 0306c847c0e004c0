//! The public entry as a library: start, stop, messages between threads, and panics, on the backend
//! that needs no privilege.
#![cfg(feature = "kernel")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use sidestep::app::{App, ConnId, Mailbox, Peer, Refuse, Rx, Tx};
use sidestep::runtime::{Backend, Poll, Ready, ServerBuilder, Stop};
use sidestep::{Error, Server};

const PATIENCE: Duration = Duration::from_secs(10);

/// Says who connects, returns what is read, writes the messages that are posted, and panics on `!`.
struct Talker(std::sync::mpsc::Sender<ConnId>);

impl App for Talker {
    type Conn = ();
    type Message = &'static str;

    fn on_open(&mut self, _peer: &Peer, tx: &mut Tx<'_>) -> Result<(), Refuse> {
        self.0.send(tx.id()).map_err(|_| Refuse)
    }

    fn on_data(&mut self, _conn: &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let bytes: Vec<u8> = rx.chunks().flatten().copied().collect();
        assert!(!bytes.contains(&b'!'), "told to");
        rx.consume(tx.write(&bytes));
        if rx.fin() {
            tx.finish();
        }
    }

    fn on_message(&mut self, _conn: &mut (), message: &'static str, tx: &mut Tx<'_>) {
        tx.write(message.as_bytes());
    }
}

/// What a test has of a server that runs in another thread.
struct Running {
    at: SocketAddr,
    opened: Receiver<ConnId>,
    mailbox: Mailbox<&'static str>,
}

fn local() -> ServerBuilder {
    Server::builder()
        .backend(Backend::Kernel)
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .poll(Poll::Sleep)
        .drain(Duration::from_millis(100))
}

/// Runs a server while `test` does; returns how the server ended.
fn with_server(builder: ServerBuilder, test: impl FnOnce(&Running, &Stop)) -> Result<(), Error> {
    let stop = Stop::new();
    let (ready_sender, ready) = channel::<Ready>();
    let (open_sender, opened) = channel();
    let (mailbox_sender, mailboxes) = channel();
    thread::scope(|scope| {
        let server = scope.spawn({
            let stop = stop.clone();
            move || {
                let (opens, mailboxes) = (Mutex::new(open_sender), Mutex::new(mailbox_sender));
                builder
                    .on_ready(move |ready| ready_sender.send(ready.clone()).expect("heard"))
                    .run_until(&stop, |context| {
                        let mailbox = mailboxes.lock().expect("whole");
                        mailbox.send(context.mailbox.clone()).expect("heard");
                        Talker(opens.lock().expect("whole").clone())
                    })
            }
        });
        let ready = ready.recv_timeout(PATIENCE).expect("ready");
        assert_eq!((ready.backend, ready.queues), (Backend::Kernel, 1));
        let mailbox = mailboxes.recv_timeout(PATIENCE).expect("made by then");
        test(&Running { at: ready.listen[0], opened, mailbox }, &stop);
        stop.drain();
        server.join().expect("errors, not panics")
    })
}

fn connect(to: &Running) -> TcpStream {
    let stream = TcpStream::connect(to.at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

#[test]
fn serves_until_it_is_stopped_and_resets_what_is_left() {
    let mut left = None;
    let outcome = with_server(local(), |server, _| {
        let mut stream = connect(server);
        stream.write_all(b"hello").expect("sent");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"hello");
        left = Some(stream);
    });
    outcome.expect("a good end");
    let error = left.expect("open").read(&mut [0]).expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn whoever_comes_while_accepting_is_paused_waits_until_it_is_resumed() {
    let outcome = with_server(local(), |server, stop| {
        stop.pause_accepting(true);
        // The order has been obeyed when nobody is let in any more.
        let mut streams = Vec::new();
        for _ in 0..1_000 {
            streams.push(connect(server));
            if server.opened.recv_timeout(Duration::from_millis(200)).is_err() {
                break;
            }
        }
        let mut last = streams.pop().expect("one at least");
        last.write_all(b"x").expect("sent");
        stop.pause_accepting(false);
        server.opened.recv_timeout(PATIENCE).expect("opened");
        last.read_exact(&mut [0]).expect("an answer");
    });
    outcome.expect("a good end");
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let error = local().backlog(0).run_until(&Stop::new(), |_| -> Talker { unreachable!() });
    assert!(error.expect_err("refused").to_string().contains("--backlog is 0"));
    let builder = local().max_connections_per_source(1, 8);
    assert!(builder.check().expect_err("refused").to_string().contains("--source-prefix is 8"));
}

#[test]
fn a_message_from_another_thread_wakes_a_sleeping_core() {
    let outcome = with_server(local(), |server, _| {
        let mut stream = connect(server);
        let id = server.opened.recv_timeout(PATIENCE).expect("opened");
        // Long enough for the core to sleep; if it is not, the test proves less and still holds.
        thread::sleep(Duration::from_millis(50));
        server.mailbox.post(id, "news").expect("room");
        let mut news = [0; 4];
        stream.read_exact(&mut news).expect("the message");
        assert_eq!(&news, b"news");
    });
    outcome.expect("a good end");
}

#[test]
fn a_panic_of_the_application_is_an_error_that_names_the_core() {
    let outcome = with_server(local(), |server, _| {
        let mut stream = connect(server);
        stream.write_all(b"!").expect("sent");
        // The core is gone, and its sockets with it.
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    });
    let text = outcome.expect_err("a panic").to_string();
    assert!(text.starts_with("core 0 panicked: told to"), "{text}");
}

#[test]
fn stopping_now_waits_for_nobody() {
    let patient = local().drain(Duration::from_secs(3_600));
    let outcome = with_server(patient, |server, stop| {
        let mut stream = connect(server);
        stream.write_all(b"x").expect("sent");
        stream.read_exact(&mut [0]).expect("an answer");
        stop.now();
        assert!(stream.read(&mut [0]).is_err(), "reset");
    });
    outcome.expect("a good end");
}

#[test]
fn a_server_that_can_not_start_says_why() {
    let factory = |_| -> Talker { unreachable!("no core starts") };
    let nowhere = Server::builder().run_until(&Stop::new(), factory);
    let text = nowhere.expect_err("nowhere to listen").to_string();
    assert!(text.contains("nowhere to listen"), "{text}");
}
