//! HTTP/1.1 (RFC 9112) as far as the shipped applications speak it: requests with bodies by
//! Content-Length, keep-alive, pipelining, `Expect: 100-continue`.

mod reply;
mod request;
mod talk;

pub(super) use reply::{Content, Reply, Status};
pub(super) use request::{Method, Request, number};
pub(super) use talk::{Answer, Body, Desk, Talk};
