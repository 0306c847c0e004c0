//! The keys of SYN cookies while a server runs: where they come from, when they change, and who is
//! told.
//!
//! One thread, the supervisor's, does all of it, about once a second; cores and driver read what is
//! published and wait for nobody. A key that is made or read now comes into force two counter steps
//! later (one to two minutes), when all of them have it.

use core::time::Duration;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::builder::Settings;
use super::clock::Clock;
use super::error::Error;
use super::server::secret;
#[cfg(any(feature = "af-xdp", feature = "tap"))]
use crate::engine::CookieConfig;
use crate::tcp::cookie::{CookieKeys, Key, KeyFile, KeyWriter, ScheduledKey, step_at};

/// Steps between the news of a key and its coming into force.
const AHEAD: u32 = 2;

/// What keeps a copy of the keys and a clock of its own: the driver.
pub(super) trait Mirror: Sync {
    /// Takes the keys over.
    fn publish_keys(&self, keys: &CookieKeys);
    /// Sets the clock: it is this moment of UNIX time now.
    fn set_clock(&self, unix_ms: u64);
}

/// Keeps the keys.
pub(super) struct KeyKeeper<'a> {
    writer: KeyWriter,
    file: Option<PathBuf>,
    every: Duration,
    changed: Instant,
    /// Read from the file, and too far ahead to be published.
    coming: Vec<ScheduledKey>,
    mirror: Option<&'a dyn Mirror>,
}

impl<'a> KeyKeeper<'a> {
    /// Reads the key file, or makes a key.
    ///
    /// # Errors
    /// The file can't be read, is not private, or holds no keys.
    pub(super) fn new(settings: &Settings) -> Result<KeyKeeper<'a>, Error> {
        let file = settings.cookie_keys.clone();
        let keys = match &file {
            Some(path) => read(path)?,
            None => vec![ScheduledKey { from_step: 0, key: random_key()? }],
        };
        let mut coming = keys.into_iter();
        let Some(first) = coming.next() else {
            return Err(Error::configuration("a key file without keys"));
        };
        let mut keeper = KeyKeeper {
            writer: KeyWriter::new(first.key),
            file,
            every: settings.cookie_rotation,
            changed: Instant::now(),
            coming: coming.collect(),
            mirror: None,
        };
        keeper.publish_due(unix_ms());
        Ok(keeper)
    }

    /// What cores share.
    pub(super) fn keys(&self) -> Arc<CookieKeys> {
        self.writer.keys()
    }

    /// Has a copy kept as well, from now on.
    #[cfg(feature = "af-xdp")]
    pub(super) fn mirror(&mut self, mirror: &'a dyn Mirror) {
        mirror.publish_keys(&self.writer.keys());
        mirror.set_clock(unix_ms());
        self.mirror = Some(mirror);
    }

    /// To be called about once a second, and before any core starts: sets the clocks and changes
    /// keys when it is time.
    pub(super) fn tick(&mut self, clock: Clock) {
        let now = unix_ms();
        self.writer.set_clock(now.saturating_sub(clock.now().millis()));
        self.publish_due(now);
        if !self.every.is_zero() && self.changed.elapsed() >= self.every {
            self.change();
        }
        if let Some(mirror) = self.mirror {
            mirror.set_clock(now);
        }
    }

    /// Reads the file again, or makes a new key: by the clock, or because somebody asked for it.
    pub(super) fn change(&mut self) {
        self.changed = Instant::now();
        let first = step_at(unix_ms()) + AHEAD;
        let newest = self.writer.newest_step();
        let keys = match &self.file {
            Some(path) => read(path),
            None if newest >= first => return tracing::info!("a new cookie key is coming already"),
            None => random_key().map(|key| vec![ScheduledKey { from_step: first, key }]),
        };
        match keys {
            Ok(keys) => {
                // What was to come and is not in the file any more does not come.
                self.coming = keys.into_iter().filter(|key| key.from_step > newest).collect();
                // A key that is news to us was in force for nobody here: from when all have it.
                for key in &mut self.coming {
                    key.from_step = key.from_step.max(first);
                }
                self.coming.dedup_by(|later, kept| {
                    let same = later.from_step == kept.from_step;
                    if same {
                        kept.key = later.key;
                    }
                    same
                });
                self.publish_due(unix_ms());
            }
            Err(error) => tracing::error!("cookie keys stay as they are: {error}"),
        }
    }

    /// Publishes what comes into force soon.
    fn publish_due(&mut self, unix_ms: u64) {
        let last = step_at(unix_ms) + AHEAD;
        let due = self.coming.iter().take_while(|key| key.from_step <= last).count();
        for key in self.coming.drain(..due) {
            match self.writer.rotate(key.key, key.from_step) {
                Ok(()) => tracing::info!("a cookie key comes into force in step {}", key.from_step),
                Err(error) => tracing::error!("a cookie key was left out: {error}"),
            }
        }
        if due > 0
            && let Some(mirror) = self.mirror
        {
            mirror.publish_keys(&self.writer.keys());
        }
    }
}

/// What engines are told about cookies.
#[cfg(any(feature = "af-xdp", feature = "tap"))]
pub(super) fn cookies(settings: &Settings, keys: Arc<CookieKeys>) -> CookieConfig {
    CookieConfig { when: settings.syn_cookies, keys: Some(keys), ..CookieConfig::default() }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn random_key() -> Result<Key, Error> {
    let secret = secret()?;
    let mut key = [0; 16];
    key.copy_from_slice(&secret[..16]);
    Ok(Key::new(key))
}

/// The keys in a file that nobody else can read.
fn read(path: &Path) -> Result<Vec<ScheduledKey>, Error> {
    let name = path.display();
    let failed = |answer| {
        let advice = "name a file of cookie keys that this user can read with --cookie-keys";
        Error::machine(format!("reading the cookie keys in {name}"), answer, advice)
    };
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(Error::configuration(format!("--cookie-keys {name}: this is no file")));
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::configuration(format!(
            "--cookie-keys {name}: others than its owner may use it (mode {mode:03o}), and whoever \
             knows a key can open connections from any address: chmod 600 {name}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let file = KeyFile::parse(&text)
        .map_err(|error| Error::configuration(format!("--cookie-keys {name}, {error}")))?;
    Ok(file.keys().to_vec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const A: &str = "0 000102030405060708090a0b0c0d0e0f\n";

    struct TemporaryFile(PathBuf);

    impl TemporaryFile {
        fn new(name: &str, text: &str, mode: u32) -> TemporaryFile {
            let name = format!("sidestep-keys-{}-{name}", std::process::id());
            let file = TemporaryFile(std::env::temp_dir().join(name));
            file.write(text);
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file.0, permissions).expect("our file");
            file
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.0, text).expect("a temporary file");
        }

        fn settings(&self) -> Settings {
            Settings { cookie_keys: Some(self.0.clone()), ..Settings::default() }
        }
    }

    impl Drop for TemporaryFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let text = |file: &TemporaryFile| {
            KeyKeeper::new(&file.settings()).err().map(|error| error.to_string()).expect("refused")
        };
        let open = TemporaryFile::new("open", A, 0o644);
        let said = text(&open);
        assert!(said.contains("(mode 644)") && said.contains("chmod 600 "), "{said}");
        let wrong = TemporaryFile::new("wrong", "0 cafe\n", 0o600);
        let said = text(&wrong);
        assert!(said.contains("line 1: expected a key of 32") && !said.contains("cafe"), "{said}");
        let gone = TemporaryFile(PathBuf::from("/nonexistent/keys"));
        let said = text(&gone);
        assert!(said.contains("/nonexistent/keys failed (No such file"), "{said}");
        let folder = TemporaryFile(PathBuf::from("/"));
        assert!(text(&folder).contains("this is no file"));
    }

    #[test]
    fn two_servers_of_one_file_have_the_same_keys() {
        let file = TemporaryFile::new("same", A, 0o600);
        let [one, two] = [0, 1].map(|_| KeyKeeper::new(&file.settings()).expect("keys"));
        let now = step_at(unix_ms());
        assert_eq!(one.keys().key_at(now), two.keys().key_at(now));
        let other = KeyKeeper::new(&Settings::default()).expect("keys");
        assert_ne!(one.keys().key_at(now), other.keys().key_at(now));
    }

    #[test]
    fn a_key_that_is_added_comes_into_force_two_steps_later() {
        let file = TemporaryFile::new("added", A, 0o600);
        let mut keeper = KeyKeeper::new(&file.settings()).expect("keys");
        let keys = keeper.keys();
        let now = step_at(unix_ms());
        let old = keys.key_at(now);
        file.write(&format!("{A}1000000 f0e0d0c0b0a090807060504030201000\n"));
        keeper.change();
        // Reading takes less than a step, but may fall on the end of one.
        assert_eq!((keys.key_at(now), keys.key_at(now + 1)), (old, old));
        assert_ne!(keys.key_at(now + 3), old);
        // Read again, nothing is new.
        let newest = keys.published();
        keeper.change();
        assert_eq!(keys.published(), newest);
        // Nonsense changes nothing.
        file.write("nonsense");
        keeper.change();
        assert_eq!(keys.published(), newest);
    }

    #[test]
    fn a_key_of_its_own_changes_by_the_clock() {
        let settings = Settings { cookie_rotation: Duration::from_nanos(1), ..Settings::default() };
        let mut keeper = KeyKeeper::new(&settings).expect("keys");
        let keys = keeper.keys();
        let now = step_at(unix_ms());
        let old = keys.key_at(now);
        keeper.tick(Clock::start());
        keeper.tick(Clock::start());
        assert_eq!(keys.key_at(now + 1), old);
        assert_ne!(keys.key_at(now + 3), old);
        assert!(keys.published().0 <= 2, "one a step, however often it is asked for");
    }
}
