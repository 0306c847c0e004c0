//! The rules, each a function from a file to what is wrong with it.

/// Something that is against a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) message: String,
}

fn finding(line: usize, message: impl Into<String>) -> Finding {
    Finding { line, message: message.into() }
}

/// Rooms in the order in which they may know of each other: a room may use those of lower rank, and
/// itself.
const RANKS: [(&str, u8); 12] = [
    ("time", 0),
    ("wire", 0),
    ("tcp", 1),
    ("device", 2),
    ("app", 3),
    ("engine", 4),
    ("kernel", 5),
    ("apps", 5),
    ("runtime", 6),
    ("cli", 7),
    ("main", 7),
    ("sim", 9),
];

/// Arrows that the order forbids and that are meant to be there.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// The room that a file belongs to.
fn room(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    Some(inside.split_once('/').map_or(inside, |(room, _)| room).trim_end_matches(".rs"))
}

fn rank(room: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// `use crate::` only leads to rooms further down.
pub(crate) fn module_order(path: &str, text: &str) -> Vec<Finding> {
    let Some(own) = room(path).filter(|room| *room != "lib") else { return Vec::new() };
    let Some(own_rank) = rank(own) else {
        return vec![finding(1, format!("room '{own}' has no place in the order: give it one"))];
    };
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut findings = Vec::new();
    for (number, line) in production(text).filter(|_| !is_test) {
        let code = line.split("//").next().unwrap_or_default();
        for part in code.split("crate::").skip(1) {
            let other: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let Some(other_rank) = rank(&other).filter(|_| other != own) else { continue };
            let backwards = other_rank >= own_rank && !EXCEPTIONS.contains(&(own, &other));
            if backwards {
                findings.push(finding(number, format!("{own} must not know of {other}")));
            }
        }
    }
    findings
}

/// Lines with their numbers, up to the tests at the end of the file.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
    lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
}

/// 100 columns; a tab counts as four. A row of a table in a comment can't be broken.
pub(crate) fn line_length(_path: &str, text: &str) -> Vec<Finding> {
    let columns = |line: &str| line.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum::<usize>();
    let is_row = |line: &str| ["//! |", "/// |"].iter().any(|start| line.starts_with(start));
    let lines = text.lines().enumerate();
    let long = lines.filter(|(_, line)| columns(line) > 100 && !is_row(line));
    long.map(|(n, line)| finding(n + 1, format!("{} columns", columns(line)))).collect()
}

/// Files that may have up to 600 lines, and why.
const LONG_FILES: [(&str, &str); 1] =
    [("src/device/pool.rs", "the frame's states and their record are one invariant")];

pub(crate) fn file_length(path: &str, text: &str) -> Vec<Finding> {
    let most = if LONG_FILES.iter().any(|(file, _)| *file == path) { 600 } else { 500 };
    match text.lines().count() {
        lines if lines > most => vec![finding(lines, format!("{lines} lines, {most} allowed"))],
        _ => Vec::new(),
    }
}

/// Functions, found by their indentation as rustfmt leaves it.
pub(crate) fn function_length(_path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open: Option<(usize, usize, &str)> = None;
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        match open {
            None if is_function(words) => open = Some((number, indent, words)),
            Some((start, at, head)) if indent == at && words.starts_with('}') => {
                if number - start + 1 > 80 {
                    let length = number - start + 1;
                    findings.push(finding(start, format!("{length} lines: {head}")));
                }
                open = None;
            }
            Some((_, at, _)) if indent == at && words.ends_with(';') => open = None,
            _ => {}
        }
        // One line, body and all.
        if open.is_some_and(|(start, ..)| start == number) && words.ends_with(['}', ';']) {
            open = None;
        }
    }
    findings
}

fn is_function(words: &str) -> bool {
    let mut rest = words;
    loop {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "fn" => return true,
            "pub" | "const" | "unsafe" | "async" | "extern" | "\"C\"" => rest = after,
            _ if word.starts_with("pub(") => rest = after,
            _ => return false,
        }
    }
}

/// `unsafe` only under src/device/, in files that say so, each with its SAFETY comment.
pub(crate) fn unsafe_fence(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let fenced = path.starts_with("src/device/") && text.contains("#![allow(unsafe_code)]");
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let is_unsafe = ["unsafe {", "unsafe impl", "unsafe fn", "unsafe extern"]
            .iter()
            .any(|word| code.contains(word));
        if !is_unsafe {
            continue;
        }
        if !fenced {
            findings.push(finding(n + 1, "unsafe outside of the fence (src/device/)"));
        }
        if code.contains("pub unsafe fn") {
            findings.push(finding(n + 1, "a public unsafe fn"));
        }
        let before = lines[..n].iter().rev().take(12);
        let mut comment = before.take_while(|line| !line.trim().is_empty());
        if !comment.any(|line| line.trim_start().starts_with("// SAFETY:")) {
            findings.push(finding(n + 1, "unsafe without // SAFETY: above it"));
        }
    }
    findings
}

/// `#[allow]` and `#[expect]` carry a reason, but for the fence itself.
pub(crate) fn explained_exceptions(_path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let words = line.trim_start();
        let attribute = ["#[allow(", "#![allow(", "#[expect(", "#![expect("]
            .iter()
            .any(|start| words.starts_with(start));
        if !attribute || words == "#![allow(unsafe_code)]" {
            continue;
        }
        let rest: String = text.lines().skip(n).take(6).collect();
        let inside = rest.split(")]").next().unwrap_or_default();
        if !inside.contains("reason = ") {
            findings.push(finding(n + 1, "an exception from a lint without its reason"));
        }
    }
    findings
}

pub(crate) fn nothing_unfinished(_path: &str, text: &str) -> Vec<Finding> {
    const MARKS: [&str; 6] = ["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME", "XXX"];
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for mark in MARKS.iter().filter(|mark| line.contains(*mark)) {
            findings.push(finding(n + 1, format!("'{mark}' is left")));
        }
    }
    findings
}

/// What a newcomer reads first stays short.
pub(crate) fn example_length(path: &str, text: &str) -> Vec<Finding> {
    let most = match path {
        "examples/echo.rs" => 25,
        "examples/http.rs" => 150,
        _ => 200,
    };
    match text.lines().count() {
        lines if lines > most => vec![finding(lines, format!("{lines} lines, {most} allowed"))],
        _ => Vec::new(),
    }
}

/// Every `make WORD` in a page is a target.
pub(crate) fn make_targets(page: &str, makefile: &str) -> Vec<Finding> {
    let is_target = |word: &str| makefile.lines().any(|line| line.starts_with(&format!("{word}:")));
    let mut findings = Vec::new();
    let mut code = false;
    for (n, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            code = !code;
        }
        // Prose talks of making things; code and `code` are commands.
        let quoted = line.split('`').enumerate().filter(|(i, _)| code || i % 2 == 1);
        for (_, piece) in quoted {
            let Some(rest) = piece.trim_start().strip_prefix("make ") else { continue };
            let target = rest.split_whitespace().next().unwrap_or_default();
            if !is_target(target) {
                findings.push(finding(n + 1, format!("the Makefile has no target '{target}'")));
            }
        }
    }
    findings
}

#[path = "self_tests.rs"]
mod self_tests;
