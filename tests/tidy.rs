//! The house style as a test: order of the modules, lengths, fences around what is unsafe. Each
//! rule has a test that proves that it can fail.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/rules.rs"]
mod rules;

use rules::Finding;

/// A file of the repository.
struct Source {
    /// Path from the root, with slashes.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` whose names end so.
fn sources(folder: &str, end: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.expect("a directory entry")) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(source(&path));
            }
        }
    }
    found
}

fn source(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("text");
    let path = path.strip_prefix(root()).expect("below the root");
    Source { path: path.to_string_lossy().replace('\\', "/"), text }
}

fn rust() -> Vec<Source> {
    let folders = ["src", "tests", "examples", "bench", "fuzz"];
    let all: Vec<Source> = folders.iter().flat_map(|folder| sources(folder, ".rs")).collect();
    assert!(all.len() > 50, "found {} files only", all.len());
    all
}

fn check(sources: &[Source], rule: impl Fn(&str, &str) -> Vec<Finding>) {
    let mut report = String::new();
    for Source { path, text } in sources {
        for Finding { line, message } in rule(path, text) {
            report += &format!("\n{path}:{line}: {message}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn no_arrow_between_modules_runs_back() {
    check(&sources("src", ".rs"), rules::module_order);
}

#[test]
fn lines_are_at_most_100_columns() {
    let others = ["bpf", "deploy", ".ci"].iter().flat_map(|folder| sources(folder, ""));
    let all: Vec<Source> = rust().into_iter().chain(others).collect();
    check(&all, rules::line_length);
}

#[test]
fn files_are_at_most_500_lines() {
    check(&rust(), rules::file_length);
}

#[test]
fn functions_are_at_most_80_lines() {
    check(&rust(), rules::function_length);
}

#[test]
fn unsafe_code_is_fenced_and_says_why_it_is_sound() {
    check(&sources("src", ".rs"), rules::unsafe_fence);
}

#[test]
fn every_exception_from_a_lint_gives_its_reason() {
    check(&rust(), rules::explained_exceptions);
}

#[test]
fn nothing_is_left_to_do() {
    check(&sources("src", ".rs"), rules::nothing_unfinished);
}

#[test]
fn examples_are_short() {
    check(&sources("examples", ".rs"), rules::example_length);
}

#[test]
fn the_readme_names_targets_that_exist() {
    let readme = source(&root().join("README.md"));
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    check(&[readme], |_, text| rules::make_targets(text, &makefile));
}
