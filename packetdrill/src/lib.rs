//! Sidestep's TCP as a shared object for packetdrill: `packetdrill --so_filename=… script.pkt`.
//!
//! packetdrill looks up `abi`'s one exported function, which fills a table of callbacks: system
//! calls, `netdev_send` and `netdev_receive` for packets, `usleep` and `gettimeofday` for time.
//! Behind them stands one engine over the virtual device. Time is virtual: it moves when
//! packetdrill sleeps, looks at the clock or waits for a packet, and then jumps from one deadline
//! to the next.
//!
//! Two threads call: the one that runs the script, which never waits here, and the one that
//! packetdrill keeps for calls that block. One lock around everything keeps them apart.
//!
//! | file | what |
//! | --- | --- |
//! | `abi` | the table, and C's pointers turned into slices: with `confined`, all unsafe code |
//! | `shared` | the lock, waiting, and how time passes |
//! | `stack` | the engine, its wire and its clock |
//! | `split` | large segments, cut to the link's MTU |
//! | `facade` | the application that does to connections what the calls say |
//! | `sockets`, `calls`, `transfer`, `opening` | descriptors, and the system calls on them |
//! | `options` | get- and setsockopt |
//! | `ready`, `epolls` | poll and epoll |
//! | `settings` | `--so_flags`, and sysctls of the namespace |
#![deny(unsafe_code)]

mod abi;
mod calls;
mod clock;
mod confined;
mod epolls;
mod errno;
mod facade;
mod opening;
mod options;
mod ready;
mod settings;
mod shared;
mod sockets;
mod split;
mod stack;
mod transfer;

#[cfg(test)]
mod tests;
