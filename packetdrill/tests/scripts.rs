//! Our packet scripts (`tests/packet/scripts`), run by the stock packetdrill.
//!
//! It is looked for in `$PACKETDRILL` and on `PATH`; without it there is nothing to run. It
//! compares by letter what our own judge compares by meaning, and its grammar is narrower:
//! `differs.txt` lists the scripts that say something it cannot see the same way, each with the
//! reason.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Real time for one script: nearly all take a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(20);
const DIFFERS: &str = include_str!("differs.txt");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Family; 2] = [Family::V4, Family::V6];

    fn name(self) -> &'static str {
        if self == Family::V4 { "ipv4" } else { "ipv6" }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Family::V4 => &["--ip_version=ipv4", "--local_ip=192.168.0.1", "--remote_ip=192.0.2.1"],
            Family::V6 => {
                &["--ip_version=ipv6", "--local_ip=fd3d:a0b:17d6::1", "--remote_ip=2001:db8::1"]
            }
        }
    }
}

#[test]
fn stock_packetdrill_passes_our_scripts() {
    let Some(binary) = binary() else {
        eprintln!("skipped: no packetdrill in $PACKETDRILL or on PATH");
        return;
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packetdrill");
    let stock = Stock { binary, library: library(), path: shims(&folder) };
    let expected = differing();
    let mut seen = Vec::new();
    let (mut passed, mut failures) = (0, Vec::new());
    for (name, text) in scripts() {
        for family in Family::BOTH.into_iter().filter(|family| speaks(&text, *family)) {
            let script = folder.join("script.pkt");
            fs::write(&script, in_stock_grammar(&text)).expect("room for a script");
            let result = stock.run(&script, &flags(&text, family), family);
            match (result, expected.get(name.as_str())) {
                (Err(error), _) if error.contains("lockall") => {
                    eprintln!("skipped: packetdrill may not lock its memory here");
                    return;
                }
                (Ok(()), None) => passed += 1,
                (Ok(()), Some(_)) => failures.push(format!("{name}: passes, and yet is listed")),
                (Err(error), None) => failures.push(format!("{name} ({}): {error}", family.name())),
                (Err(_), Some(_)) => {}
            }
        }
        seen.push(name);
    }
    let gone = expected.keys().filter(|name| !seen.iter().any(|seen| seen == *name));
    failures.extend(gone.map(|name| format!("{name} is listed, but there is no such script")));
    eprintln!("{passed} runs passed, {} scripts are known to differ", expected.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > seen.len(), "most scripts pass in both families");
}

fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PACKETDRILL").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|dir| dir.join("packetdrill")).find(|file| file.is_file())
}

/// A `PATH` whose `sysctl` does nothing: what the scripts set is given as flags.
fn shims(folder: &Path) -> OsString {
    fs::create_dir_all(folder).expect("a folder");
    let shim = folder.join("sysctl");
    let _ = fs::remove_file(&shim);
    std::os::unix::fs::symlink("/bin/true", shim).expect("a link");
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).expect("a path")
}

/// Scripts and reasons.
fn differing() -> BTreeMap<&'static str, &'static str> {
    let lines = DIFFERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").expect("script: reason")).collect()
}

/// All scripts, by their name under the folder.
fn scripts() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/packet/scripts");
    let mut found = BTreeMap::new();
    for group in fs::read_dir(&folder).expect("the scripts").flatten() {
        for file in fs::read_dir(group.path()).expect("a folder of scripts").flatten() {
            let path = file.path();
            let name = path.strip_prefix(&folder).expect("inside").display().to_string();
            found.insert(name, fs::read_to_string(&path).expect("a script"));
        }
    }
    found
}

fn speaks(text: &str, family: Family) -> bool {
    let only = text.lines().find_map(|line| line.strip_prefix("--ip_version="));
    only.is_none_or(|only| only.trim() == family.name())
}

/// The settings of a script, as `--so_flags`.
fn flags(text: &str, family: Family) -> String {
    let mtu = text.lines().find_map(|line| line.strip_prefix("--mtu="));
    let mtu: u16 = mtu.map_or(1_500, |mtu| mtu.trim().parse().expect("a number"));
    let mtu = if family == Family::V4 { mtu } else { mtu + 20 };
    let commands = text.split('`').skip(1).step_by(2);
    let words = commands.flat_map(str::split_whitespace).filter(|word| word.contains('='));
    words.fold(format!("mtu={mtu}"), |flags, word| flags + "," + word)
}

/// The script without its own `--mtu`, which is ours to give; with a note behind each error, and
/// with options padded, as the stock grammar asks.
fn in_stock_grammar(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("--"));
    lines.map(|line| padded(&noted(line)) + "\n").collect()
}

fn noted(line: &str) -> String {
    let (code, comment) = line.split_once("//").unwrap_or((line, ""));
    let error = code.rsplit_once("= -1 ").map(|(_, error)| error.trim());
    match error {
        Some(error) if !error.is_empty() && !error.contains('(') => {
            format!("{} (error) //{comment}", code.trim_end())
        }
        _ => line.to_string(),
    }
}

/// Pads the options of segments that the script sends: what it expects is left as it is.
fn padded(line: &str) -> String {
    let sent = line.split_whitespace().nth(1) == Some("<");
    let Some((head, rest)) = line.rsplit_once('<').filter(|_| sent && line.ends_with('>')) else {
        return line.to_string();
    };
    let options = rest.trim_end_matches('>');
    let bytes: usize = options.split(',').map(option_bytes).sum();
    let nops = ",nop".repeat(bytes.next_multiple_of(4) - bytes);
    format!("{head}<{options}{nops}>")
}

fn option_bytes(option: &str) -> usize {
    let words = option.split_whitespace().count();
    match option.split_whitespace().next() {
        Some("mss") => 4,
        Some("wscale") => 3,
        Some("sackOK") => 2,
        Some("TS") => 10,
        Some("sack") => 2 + 8 * (words - 1),
        Some("hex") => words - 1,
        _ => 1,
    }
}

/// The judge: packetdrill, what it loads, and the `PATH` of its commands.
struct Stock {
    binary: PathBuf,
    library: PathBuf,
    path: OsString,
}

impl Stock {
    fn run(&self, script: &Path, flags: &str, family: Family) -> Result<(), String> {
        let mut child = Command::new(&self.binary)
            .arg(format!("--so_filename={}", self.library.display()))
            .arg(format!("--so_flags={flags}"))
            .args(family.options())
            .arg(script)
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let end = Instant::now() + PATIENCE;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() > end {
                child.kill().map_err(|error| error.to_string())?;
                return Err(format!("no end after {PATIENCE:?}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "\n    "))
    }
}

/// Has Cargo build the shared object: for tests alone it does not.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let profile = test.ancestors().nth(2).expect("the profile's folder");
    let target = profile.parent().expect("the target folder");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "sidestep-packetdrill", "--target-dir"])
        .arg(target)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the shared object was not built");
    target.join("debug/libsidestep_packetdrill.so")
}
