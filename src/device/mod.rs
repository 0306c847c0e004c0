//! Devices: where frames come from and go to.

pub(crate) mod prefetch;
