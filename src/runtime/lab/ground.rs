//! Whether we are in a laboratory: what sends floods asks before it does.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::interface::{Interface, InterfaceError};
use super::{NAMESPACES, PREFIX, lab_of, owner, start_time};

const VETH: &str = "veth";

/// Why an interface is no laboratory's.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// There is no such interface, or the kernel doesn't say.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
    /// This thread is in a network that no lab made.
    #[error(
        "configuration: {interface} is not in a network namespace that sidestep made (one called \
         {PREFIX}…, of a process that still runs), but in {found}: run this inside of one, with \
         'ip netns exec'"
    )]
    Namespace {
        /// The interface.
        interface: String,
        /// Where we are.
        found: String,
    },
    /// The namespace is a lab's, but the interface was put there by somebody else.
    #[error(
        "configuration: {interface} (driver {driver}) is not an interface that sidestep made: only \
         the ends of veth pairs of its own labs will do"
    )]
    Foreign {
        /// The interface.
        interface: String,
        /// Its driver.
        driver: String,
    },
}

/// Finds an interface in the namespace of the calling thread, if both are the work of a [`Lab`]
/// whose process is alive: the namespace by its name and by not being the host's, the interface by
/// being a veth end that carries the lab's name as its alias. What is sent there can't get out of
/// that lab, unless somebody has changed it since.
///
/// [`Lab`]: super::Lab
///
/// # Errors
/// See [`GroundError`]: one of these does not hold.
pub fn find_in_lab(name: &str) -> Result<Interface, GroundError> {
    let interface = Interface::find(name)?;
    let namespace = current_namespace();
    let lab = namespace.as_deref().filter(|name| is_living_lab(name)).and_then(lab_of);
    let Some(lab) = lab else {
        let found = namespace.map_or_else(|| String::from("another"), |name| format!("'{name}'"));
        return Err(GroundError::Namespace { interface: name.to_owned(), found });
    };
    if interface.driver != VETH || interface.alias.as_deref() != Some(lab) {
        let driver = interface.driver;
        return Err(GroundError::Foreign { interface: name.to_owned(), driver });
    }
    Ok(interface)
}

/// The name, in the list of `ip netns`, of the namespace that the calling thread is in. `None` for
/// one without a name and for the host's, whatever somebody calls it.
fn current_namespace() -> Option<String> {
    let inode = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let ours = inode(Path::new("/proc/thread-self/ns/net"))?;
    if inode(Path::new("/proc/1/ns/net")) == Some(ours) {
        return None;
    }
    let entries = fs::read_dir(NAMESPACES).ok()?.flatten();
    let mut same = entries.filter(|entry| inode(&entry.path()) == Some(ours));
    same.next().map(|entry| entry.file_name().to_string_lossy().into_owned())
}

fn is_living_lab(namespace: &str) -> bool {
    owner(namespace).is_some_and(|(pid, start)| start_time(pid) == Some(start))
}
