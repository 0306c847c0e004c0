//! A judge of the engine that speaks the packetdrill script language, over the virtual device and a
//! virtual clock. README.md in this folder says what it understands and how it compares.
#![allow(dead_code, unused_imports, reason = "each test uses another part of it")]

mod ast;
mod calls;
mod facade;
mod icmp;
mod lexer;
mod matching;
mod names;
mod options;
mod packets;
mod parser;
mod peer;
mod runner;
mod settings;
mod world;

pub(crate) use facade::{Message, stream_byte};
pub(crate) use parser::parse;
pub(crate) use peer::Peer;
pub(crate) use runner::run;
pub(crate) use settings::Settings;
pub(crate) use world::World;
