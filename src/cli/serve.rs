//! `sidestep serve`.

use std::io::Write;
use std::path::Path;

use super::file;
use super::options::{AppName, Options};
use super::placed;
use super::text::Span;
use crate::apps::{Chargen, Discard, Echo, Files, Hello};
use crate::runtime::{Error, Ready, Server, ServerBuilder};

/// Serves until a signal ends it.
pub(super) fn run(flags: Options, config: Option<&Path>) -> Result<(), Error> {
    let options = match config {
        Some(path) => flags.or(file::read(path)?),
        None => flags,
    };
    let builder = builder(&options);
    match options.app.unwrap_or_default() {
        AppName::Hello => builder.run(|_| Hello::default()),
        AppName::Echo => builder.run(|_| Echo),
        AppName::Discard => builder.run(|_| Discard),
        AppName::Chargen => builder.run(|_| Chargen),
        AppName::Files => {
            let files = files(options.root.as_deref())?;
            builder.run(move |_| files.clone())
        }
    }
}

pub(super) fn builder(options: &Options) -> ServerBuilder {
    let builder = Server::builder()
        .backend(options.backend.unwrap_or_default())
        .mode(options.mode.unwrap_or_default())
        .poll(options.poll.unwrap_or_default())
        .drain(options.drain())
        .tcp(options.tcp.config(options.congestion, options.ecn))
        .limits(options.limits.limits(options.backlog))
        .overflow(options.overflow.unwrap_or_default())
        .pool(options.frames.config())
        .answer_in_driver(options.answer_in_driver)
        .accept_partial_checksums(options.accept_partial_checksums)
        .on_ready(announce);
    let Options { interface, queues, cores, .. } = options;
    let mut builder = placed(builder, interface.as_deref(), queues.as_ref(), cores.as_ref());
    if let Some(when) = options.syn_cookies {
        builder = builder.syn_cookies(when);
    }
    if let Some(path) = &options.cookie_keys {
        builder = builder.cookie_keys(path);
    }
    if let Some(Span(every)) = options.cookie_rotation {
        builder = builder.cookie_rotation(every);
    }
    if let Some(path) = &options.stats_json {
        builder = builder.stats_json(path);
    }
    #[cfg(debug_assertions)]
    {
        builder = builder.fault(options.fault.unwrap_or(0));
    }
    let builder = options.listen.iter().fold(builder, |builder, &at| builder.listen(at));
    let builder = options.address.iter().fold(builder, |builder, &own| builder.address(own));
    options.gateway.iter().fold(builder, |builder, &gateway| builder.gateway(gateway))
}

/// The line that scripts wait for. Nobody to read it is no reason not to serve.
fn announce(ready: &Ready) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());
}

fn files(root: Option<&Path>) -> Result<Files, Error> {
    let root = root.ok_or_else(|| {
        Error::configuration("--app files has nothing to serve: say --root DIRECTORY")
    })?;
    Files::new(root).map_err(|error| Error::told(&error))
}
