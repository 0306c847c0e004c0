//! SIGTERM and SIGINT drain, a second one ends at once, SIGUSR1 writes the statistics, SIGHUP
//! changes the cookie keys.

use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::control::Stop;
use super::error::Error;

/// The thread that waits for signals; ends when dropped.
#[derive(Debug)]
pub(super) struct SignalThread {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalThread {
    /// From now on the signals are ours, and tell `stop` what to do.
    pub(super) fn start(stop: Stop) -> Result<SignalThread, Error> {
        let advice = "see the limits of this process ('ulimit -a')";
        let failed = |answer| Error::machine("listening to signals", answer, advice);
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1]).map_err(failed)?;
        let handle = signals.handle();
        let wait = move || {
            let mut stops = 0u32;
            for signal in signals.forever() {
                if signal == SIGUSR1 {
                    stop.write_stats();
                    continue;
                }
                if signal == SIGHUP {
                    stop.change_keys();
                    continue;
                }
                stops += 1;
                match stops {
                    1 => stop.drain(),
                    2 => stop.now(),
                    // A core is stuck in a callback and hears nothing.
                    _ => drop(signal_hook::low_level::emulate_default_handler(signal)),
                }
            }
        };
        let thread = thread::Builder::new().name("sidestep-signals".into()).spawn(wait);
        Ok(SignalThread { handle, thread: Some(thread.map_err(failed)?) })
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
