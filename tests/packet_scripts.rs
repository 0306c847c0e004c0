//! Every script under `packet/scripts`, judged in both families: see `packet/README.md`.
//!
//! `SIDESTEP_SCRIPT=closing/ cargo test --test packet_scripts` runs those whose name contains that.

mod packet;
mod segments;

use std::path::Path;

use packet::{Settings, parse, run};

/// At least so many rules must have a script.
const RULES: usize = 200;

/// All scripts below `folder`: name and text, in the order of names.
fn scripts(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for area in std::fs::read_dir(folder).expect("the folder of scripts") {
        let area = area.expect("an area").path();
        for file in std::fs::read_dir(&area).expect("the folder of an area") {
            let path = file.expect("a script").path();
            assert_eq!(path.extension().and_then(|e| e.to_str()), Some("pkt"), "{path:?}");
            let name = path.strip_prefix(folder).expect("a file of the folder");
            let text = std::fs::read_to_string(&path).expect("a readable script");
            found.push((name.display().to_string(), text));
        }
    }
    found.sort();
    found
}

fn all_scripts() -> Vec<(String, String)> {
    scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packet/scripts"))
}

fn judge(name: &str, text: &str) -> Result<usize, String> {
    let script = parse(name, text)?;
    let settings =
        Settings::of(&script).map_err(|(line, what)| format!("{name}:{line}: {what}"))?;
    for family in &settings.families {
        run(&script, &settings, *family)?;
    }
    Ok(settings.families.len())
}

#[test]
fn every_script_is_kept() {
    let wanted = std::env::var("SIDESTEP_SCRIPT").unwrap_or_default();
    let scripts = all_scripts();
    let (mut runs, mut failures) = (0, Vec::new());
    for (name, text) in scripts.iter().filter(|(name, _)| name.contains(&wanted)) {
        match judge(name, text) {
            Ok(families) => runs += families,
            Err(what) => failures.push(what),
        }
    }
    println!("{} scripts, {runs} runs, {} failures", scripts.len(), failures.len());
    assert!(failures.is_empty(), "{} failures:\n\n{}", failures.len(), failures.join("\n\n"));
    assert!(!wanted.is_empty() || scripts.len() >= RULES);
}

#[test]
fn every_script_names_its_rule() {
    for (name, text) in all_scripts() {
        let first = text.lines().next().unwrap_or_default();
        let cited = |line: &str| line.contains("RFC ") || line.contains("draft-ietf-");
        let cites = text.lines().take(4).any(|line| line.starts_with("//") && cited(line));
        assert!(
            first.starts_with("//") && cites,
            "{name} does not cite the RFC or draft in its first lines"
        );
    }
}

/// The judge itself must find what is wrong.
mod judge_of_the_judge {
    use super::judge;

    const HANDSHAKE: &str = "
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0 bind(3, ..., ...) = 0
        +0 listen(3, 1) = 0
        +0 < S 0:0(0) win 1000 <mss 1000>
        +0 > S. 0:0(0) ack 1 <...>
        +0 < . 1:1(0) ack 1 win 1000
        +0 accept(3, ..., ...) = 4
    ";

    fn complains(script: &str, about: &str) {
        let script = format!("{HANDSHAKE}{script}");
        let what = judge("here.pkt", &script).expect_err("this script asks for the wrong thing");
        assert!(what.contains(about), "complains of something else: {what}");
    }

    #[test]
    fn an_honest_script_passes() {
        let script = format!("{HANDSHAKE} +0 write(4, ..., 10) = 10 +0 > P. 1:11(10) ack 1");
        assert_eq!(judge("here.pkt", &script), Ok(2));
    }

    #[test]
    fn wrong_expectations_are_found() {
        let write = "+0 write(4, ..., 10) = 10";
        complains(&format!("{write} +0 > P. 1:10(9) ack 1"), "has ended, but not the engine");
        complains(&format!("{write} +0 > P. 2:12(10) ack 1"), "seq 1, expected 2");
        complains(&format!("{write} +0 > F. 1:11(10) ack 1"), "expected F.");
        complains(&format!("{write} +.1 > P. 1:11(10) ack 1"), "expected at 0.1");
        complains(&format!("{write} +0 > . 1:11(10) ack 1 win 1"), "expected 1");
        complains(&format!("{write} +0 > . 1:11(10) ack 1 <nop,mss 9>"), "option mss 9");
        complains(write, "has ended, but not the engine");
        complains("+0 > P. 1:11(10) ack 1", "nothing came");
        complains("+0 read(4, ..., 10) = 10", "read gave -1 EAGAIN, expected 10");
        complains("+0 write(4, ..., 10) = 9", "write gave 10, expected 9");
        complains("+0...0.1 read(4, ..., 10) = 10", "has not returned");
    }

    #[test]
    fn bad_scripts_are_named_with_their_line() {
        let complaint = |text: &str| judge("bad.pkt", text).expect_err("a bad script");
        assert!(complaint("\n0 < S 0:1(0) win 1").starts_with("bad.pkt:2: 0:1(0)"));
        assert!(complaint("--ip_version=ipx").starts_with("bad.pkt:1: --ip_version=ipx"));
        assert!(complaint("`rm -rf x`").contains("nothing is run"));
        assert!(complaint("0 poll(3) = 0").contains("poll is not understood"));
        assert!(complaint("0 < icmp foo").contains("no message"));
        assert!(complaint("0 < S 0:0(0) win 1 <foo 3>").contains("`foo` is no option"));
        assert!(complaint("0 %{ assert x }%").contains("not understood"));
        assert!(complaint("0~1 socket(...) = 3").contains("only an expected packet"));
    }
}
