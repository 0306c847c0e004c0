//! The tables of `docs/`, held to the code: every requirement of RFC 9293 has one row, and what a
//! row cites is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a row may say, and whether it must then cite code and a test.
const STATUSES: [(&str, bool); 4] =
    [("met", true), ("deviation", false), ("not applicable", false), ("not taken", false)];

/// A row of a table: `| id | section | rule | status | where, or why | tests |`.
#[derive(Clone, Debug)]
struct Row {
    line: usize,
    id: String,
    rule: String,
    status: String,
    place: String,
    tests: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    let path = root().join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of a page's tables, the heads left out; or what is no row of six cells.
fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, rule, status, place, tests] = cells[..] else {
            return Err(format!("line {}: {} cells", index + 1, cells.len()));
        };
        if id == "id" || id.starts_with('-') {
            continue;
        }
        let [id, rule, status, place, tests] = [id, rule, status, place, tests].map(String::from);
        rows.push(Row { line: index + 1, id, rule, status, place, tests });
    }
    Ok(rows)
}

/// What a cell cites: the words between backticks that name a file's part or a script.
fn citations(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains('#') || text.ends_with(".pkt")).collect()
}

/// Whether `text` defines `symbol`: a function, a type, a constant, a field or a variant.
fn defines(text: &str, symbol: &str) -> bool {
    let is_variant = symbol.starts_with(char::is_uppercase);
    let defined_by = |line: &str| {
        let mut line = line.trim_start();
        for word in ["pub(crate) ", "pub(super) ", "pub "] {
            line = line.strip_prefix(word).unwrap_or(line);
        }
        let function = line.strip_prefix("const ").unwrap_or(line).strip_prefix("fn ");
        if let Some(rest) = function.and_then(|rest| rest.strip_prefix(symbol)) {
            return rest.starts_with(['(', '<']);
        }
        let items = ["struct ", "enum ", "trait ", "type ", "const "];
        let item = items.iter().find_map(|word| line.strip_prefix(word));
        let Some(rest) = item.unwrap_or(line).strip_prefix(symbol) else { return false };
        match rest.chars().next() {
            Some(':') => !rest.starts_with("::"),
            Some('(' | '<' | ' ' | ',' | ';') => item.is_some() || is_variant,
            _ => false,
        }
    };
    text.lines().any(defined_by)
}

/// Whether `text` has a test function of this name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is = |at: &usize| lines[*at].starts_with(&format!("fn {name}("));
    (0..lines.len()).filter(is).any(|at| {
        // Attributes, in any order, stand right before it.
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        above.into_iter().any(|line| *line == "#[test]")
    })
}

/// What is wrong with a citation, if anything; `test`: it must be one.
fn check_citation(cited: &str, test: bool) -> Option<String> {
    let read = |path: &str| fs::read_to_string(root().join(path)).ok();
    if cited.ends_with(".pkt") {
        let script = Path::new("tests/packet/scripts").join(cited);
        return (!root().join(script).is_file()).then(|| format!("no script {cited}"));
    }
    let (path, symbol) = cited.split_once('#')?;
    let Some(text) = read(path) else { return Some(format!("no file {path}")) };
    if test && !has_test(&text, symbol) {
        return Some(format!("no test {symbol} in {path}"));
    }
    (!defines(&text, symbol)).then(|| format!("no {symbol} in {path}"))
}

/// Everything that is wrong with a page.
fn findings(text: &str) -> Vec<String> {
    let rows = match rows(text) {
        Ok(rows) => rows,
        Err(what) => return vec![what],
    };
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for row in &rows {
        let mut say = |what: String| found.push(format!("line {}, {}: {what}", row.line, row.id));
        if !seen.insert(&row.id) {
            say(String::from("comes twice"));
        }
        if row.rule.is_empty() {
            say(String::from("does not say its rule"));
        }
        let places = citations(&row.place);
        let tests = citations(&row.tests);
        match STATUSES.iter().find(|(status, _)| *status == row.status) {
            None => say(format!("`{}` is no status", row.status)),
            Some((_, true)) if places.is_empty() || tests.is_empty() => {
                say(String::from("is met, but cites no code or no test"));
            }
            Some((_, false)) if row.place.len() < 10 => say(String::from("does not say why")),
            Some(_) => {}
        }
        if row.status == "not taken" && !row.id.starts_with("MAY") && row.id.contains("MUST") {
            say(String::from("can't be left: it is no MAY"));
        }
        places.iter().filter_map(|cited| check_citation(cited, false)).for_each(&mut say);
        tests.iter().filter_map(|cited| check_citation(cited, true)).for_each(&mut say);
    }
    found
}

/// The identifiers of RFC 9293 that `text` has no row of, or too many.
fn missing(text: &str) -> Vec<String> {
    let wanted: BTreeMap<&str, usize> =
        [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)].into();
    let wanted: BTreeSet<String> = wanted
        .into_iter()
        .flat_map(|(kind, last)| (1..=last).map(move |number| format!("{kind}-{number}")))
        .collect();
    let rows = rows(text).unwrap_or_default();
    let found: BTreeSet<String> = rows.into_iter().map(|row| row.id).collect();
    wanted.symmetric_difference(&found).cloned().collect()
}

#[test]
fn every_requirement_of_rfc_9293_has_its_row_and_what_it_cites_is_there() {
    let text = page("rfc9293.md");
    assert_eq!(missing(&text), [""; 0], "missing, or not of RFC 9293");
    let found = findings(&text);
    assert!(found.is_empty(), "docs/rfc9293.md:\n{}", found.join("\n"));
}

#[test]
fn what_is_cited_for_other_rfcs_is_there() {
    let text = page("other-rfcs.md");
    let found = findings(&text);
    assert!(found.is_empty(), "docs/other-rfcs.md:\n{}", found.join("\n"));
    for rfc in ["1122", "5681", "6298", "7323", "5961", "6528", "6691", "1337", "6191"] {
        assert!(text.contains(&format!("\n| {rfc}-1 |")), "no row of RFC {rfc}");
    }
}

/// The checker itself must find what is wrong.
mod checks_of_the_checker {
    use super::*;

    const GOOD: &str = "| MUST-1 | 3 | a rule | met | `tests/clauses.rs#rows` | \
                        `tests/clauses.rs#a_good_row_passes` `window/is-unsigned.pkt` |";

    fn complains(from: &str, to: &str, about: &str) {
        let changed = GOOD.replace(from, to);
        assert_ne!(changed, GOOD, "{from} is not there");
        let found = findings(&changed);
        assert!(found.iter().any(|what| what.contains(about)), "{to}: {found:?}");
    }

    #[test]
    fn a_good_row_passes() {
        assert_eq!(findings(GOOD), [""; 0]);
    }

    #[test]
    fn what_is_gone_is_found() {
        complains("clauses.rs#rows", "nowhere.rs#rows", "no file tests/nowhere.rs");
        complains("clauses.rs#rows", "clauses.rs#row", "no row in tests/clauses.rs");
        complains("#a_good_row_passes", "#findings", "no test findings");
        complains("is-unsigned", "is-signed", "no script window/is-signed.pkt");
    }

    #[test]
    fn a_row_without_a_test_or_a_reason_is_found() {
        let bare = "| MUST-1 | 3 | a rule | met | `tests/clauses.rs#rows` | |";
        assert!(findings(bare)[0].contains("cites no code or no test"));
        complains("met", "nearly met", "is no status");
        complains("| met | `tests/clauses.rs#rows`", "| deviation | ", "does not say why");
        complains("met", "not taken", "it is no MAY");
        assert!(findings(&format!("{GOOD}\n{GOOD}"))[0].contains("comes twice"));
        assert!(findings("| one | two |")[0].contains("2 cells"));
    }

    #[test]
    fn a_missing_requirement_is_found() {
        let lost = missing(&page("rfc9293.md").replace("\n| SHLD-9 |", "\n| SHLD-90 |"));
        assert_eq!(lost, ["SHLD-9", "SHLD-90"]);
    }
}
