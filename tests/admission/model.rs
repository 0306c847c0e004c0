//! Half-open table, accept queue and budgets beside a model of them that is a list of states: any
//! order of SYNs, ACKs, resets, pauses and time must look the same from outside.

use std::time::Duration;

use proptest::prelude::*;
use sidestep::engine::{Counter, Overflow, SynCookies};
use sidestep::wire::tcp::Flags;

use super::world::{Client, PORTS, World, is_reset, is_syn_ack};

const CLIENTS: usize = 10;
/// Of each listener.
const HALF_OPEN: usize = 2;
const BACKLOG: usize = 2;
const PER_LISTENER: usize = 4;
const PER_SOURCE: usize = 3;
const CONNECTIONS: usize = 6;
/// Longer than all tries of a SYN-ACK.
const EXPIRES: Duration = Duration::from_secs(70);

#[derive(Clone, Copy, Debug)]
enum Step {
    Syn(usize),
    Ack(usize),
    Reset(usize),
    /// The application aborts it.
    Abort(usize),
    Pause(bool),
    Expire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    HalfOpen,
    Waiting,
    Open,
}

/// What a client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    SynAck,
    Reset,
}

struct Model {
    states: [State; CLIENTS],
    /// Who waits, in order; `None` for places of those that are gone, with their listener.
    queue: Vec<(usize, Option<usize>)>,
    opened: Vec<usize>,
    paused: bool,
    overflow: Overflow,
    overflows: u64,
    drops: u64,
}

fn listener(client: usize) -> usize {
    client % PORTS.len()
}

fn host(client: usize) -> u8 {
    20 + client as u8 % 3
}

impl Model {
    fn new(overflow: Overflow) -> Model {
        Model {
            states: [State::Closed; CLIENTS],
            queue: Vec::new(),
            opened: Vec::new(),
            paused: false,
            overflow,
            overflows: 0,
            drops: 0,
        }
    }

    fn count(&self, is: impl Fn(usize, State) -> bool) -> usize {
        self.states.iter().enumerate().filter(|(client, state)| is(*client, **state)).count()
    }

    /// Whether the core, the listener or the source has all it may, or the queue is full (counted).
    fn has_no_room(&mut self, client: usize) -> bool {
        let is_connected = |state| matches!(state, State::Waiting | State::Open);
        let waiting = self.queue.iter().filter(|(at, _)| *at == listener(client)).count();
        if waiting >= BACKLOG {
            self.overflows += 1;
            return true;
        }
        self.count(|_, state| is_connected(state)) >= CONNECTIONS
            || self.count(|c, state| is_connected(state) && listener(c) == listener(client))
                >= PER_LISTENER
            || self.count(|c, state| is_connected(state) && host(c) == host(client)) >= PER_SOURCE
    }

    fn refuse(&mut self) -> Answer {
        self.drops += 1;
        if self.overflow == Overflow::Reset { Answer::Reset } else { Answer::Nothing }
    }

    fn syn(&mut self, client: usize) -> Answer {
        if self.states[client] == State::HalfOpen {
            return Answer::SynAck;
        }
        let half_open =
            self.count(|c, state| state == State::HalfOpen && listener(c) == listener(client));
        if self.has_no_room(client) || half_open >= HALF_OPEN {
            return self.refuse();
        }
        self.states[client] = State::HalfOpen;
        Answer::SynAck
    }

    fn ack(&mut self, client: usize) -> Answer {
        if self.states[client] != State::HalfOpen {
            return if self.states[client] == State::Closed {
                Answer::Reset
            } else {
                Answer::Nothing
            };
        }
        if self.has_no_room(client) {
            if self.overflow == Overflow::Reset {
                self.states[client] = State::Closed;
            }
            return self.refuse();
        }
        self.states[client] = State::Waiting;
        self.queue.push((listener(client), Some(client)));
        self.accept();
        Answer::Nothing
    }

    /// The peer resets, or the application aborts.
    fn end(&mut self, client: usize) {
        for (_, waits) in &mut self.queue {
            *waits = waits.filter(|waits| *waits != client);
        }
        self.states[client] = State::Closed;
    }

    fn accept(&mut self) {
        if !self.paused {
            for client in self.queue.drain(..).filter_map(|(_, client)| client) {
                self.states[client] = State::Open;
                self.opened.push(client);
            }
        }
    }

    fn expire(&mut self) {
        for state in &mut self.states {
            if *state == State::HalfOpen {
                *state = State::Closed;
            }
        }
    }
}

struct Pair {
    world: World,
    model: Model,
    clients: Vec<Client>,
}

impl Pair {
    fn new(overflow: Overflow) -> Pair {
        let world = World::new(|config| {
            let limits = &mut config.limits;
            limits.half_open = HALF_OPEN as u32;
            limits.backlog = BACKLOG as u32;
            limits.connections = CONNECTIONS as u32;
            limits.connections_per_listener = PER_LISTENER as u32;
            limits.connections_per_source = PER_SOURCE as u32;
            config.cookies.when = SynCookies::Off;
            config.overflow = overflow;
        });
        let client = |n| Client::new(host(n), n as u16, PORTS[listener(n)]);
        let clients = (0..CLIENTS).map(client).collect();
        Pair { world, model: Model::new(overflow), clients }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (world, model) = (&mut self.world, &mut self.model);
        match step {
            // A connection is not opened twice.
            Step::Syn(n) if !matches!(model.states[n], State::Closed | State::HalfOpen) => {}
            Step::Syn(n) => {
                let client = &mut self.clients[n];
                if model.states[n] == State::Closed {
                    *client = Client { snd_nxt: client.snd_nxt + 1_000, ..*client };
                } else {
                    client.snd_nxt = client.snd_nxt - 1;
                }
                let heard = world.syn(client);
                let expected = model.syn(n);
                prop_assert!(is(expected, &heard), "{expected:?} for a SYN, not {heard:?}");
            }
            Step::Ack(n) => {
                let heard = world.ack(&self.clients[n]);
                let expected = model.ack(n);
                prop_assert!(is(expected, &heard), "{expected:?} for an ACK, not {heard:?}");
            }
            Step::Reset(n) => {
                world.send(&self.clients[n], Flags::RST, &[]);
                model.end(n);
            }
            Step::Abort(n) if model.states[n] == State::Open => {
                world.app().aborts = Some(self.clients[n].at);
                let heard = world.send(&self.clients[n], Flags::ACK, b"x");
                prop_assert!(is(Answer::Reset, &heard), "{heard:?}");
                model.end(n);
            }
            Step::Abort(_) => {}
            Step::Pause(paused) => {
                world.engine.pause_accepting(paused);
                world.turn();
                model.paused = paused;
                model.accept();
            }
            Step::Expire => {
                world.pass(EXPIRES);
                model.expire();
            }
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let (world, model) = (&mut self.world, &self.model);
        let half_open = model.count(|_, state| state == State::HalfOpen);
        prop_assert_eq!(world.engine.counters().half_open() as usize, half_open);
        let connected = model.count(|_, state| matches!(state, State::Waiting | State::Open));
        prop_assert_eq!(world.engine.connections() as usize, connected);
        let open = model.count(|_, state| state == State::Open);
        prop_assert_eq!(world.app().open.len(), open);
        let opened: Vec<_> = model.opened.iter().map(|n| self.clients[*n].at).collect();
        prop_assert_eq!(&world.app().opened, &opened);
        prop_assert_eq!(world.count(Counter::ListenOverflows), model.overflows);
        prop_assert_eq!(world.count(Counter::ListenDrops), model.drops);
        Ok(())
    }
}

fn is(answer: Answer, heard: &[sidestep::wire::tcp::Segment]) -> bool {
    match answer {
        Answer::Nothing => heard.is_empty(),
        Answer::SynAck => is_syn_ack(heard),
        Answer::Reset => is_reset(heard),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..CLIENTS;
    let step = prop_oneof![
        8 => client().prop_map(Step::Syn),
        8 => client().prop_map(Step::Ack),
        2 => client().prop_map(Step::Reset),
        2 => client().prop_map(Step::Abort),
        2 => any::<bool>().prop_map(Step::Pause),
        1 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_queues_are_those_of_the_model(steps in steps(), resets in any::<bool>()) {
        let mut pair = Pair::new(if resets { Overflow::Reset } else { Overflow::Drop });
        for step in steps {
            pair.step(step)?;
        }
    }
}
