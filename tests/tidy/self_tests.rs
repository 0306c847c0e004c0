//! Each rule fails when it should, and only then.

use super::*;

fn lines(findings: Vec<Finding>) -> Vec<usize> {
    findings.into_iter().map(|finding| finding.line).collect()
}

#[test]
fn an_arrow_back_is_found() {
    let bad = "use crate::wire::Seq;\nuse crate::engine::Engine;\n";
    assert_eq!(lines(module_order("src/tcp/state.rs", bad)), [2]);
    assert_eq!(lines(module_order("src/runtime/server.rs", bad)), [0; 0]);
    assert_eq!(lines(module_order("src/engine/turn.rs", "let x = crate::sim::Net::new();")), [1]);
    assert_eq!(lines(module_order("src/kernel/mod.rs", "use crate::apps::Hello;")), [1]);
    assert_eq!(lines(module_order("src/novel/mod.rs", "")), [1]);
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::sim::Net;\n}\n";
    assert_eq!(lines(module_order("src/tcp/state.rs", tests)), [0; 0]);
    assert_eq!(lines(module_order("src/tcp/state.rs", "// as in crate::engine")), [0; 0]);
}

#[test]
fn a_long_line_is_found() {
    let text = format!("{}\n{}\n{}\n", "x".repeat(100), "x".repeat(101), "\t".repeat(26));
    assert_eq!(lines(line_length("a", &text)), [2, 3]);
    let (row, prose) = (format!("//! |{}\n", "x".repeat(99)), format!("//! {}\n", "x".repeat(99)));
    assert_eq!(lines(line_length("a", &(row + &prose))), [2]);
}

#[test]
fn a_long_file_is_found() {
    let text = "x\n".repeat(501);
    assert_eq!(lines(file_length("src/tcp/state.rs", &text)), [501]);
    assert_eq!(lines(file_length(LONG_FILES[0].0, &text)), [0; 0]);
    assert_eq!(lines(file_length(LONG_FILES[0].0, &"x\n".repeat(601))), [601]);
}

#[test]
fn a_long_function_is_found() {
    let function = |lines: usize| {
        format!("impl A {{\n    pub(crate) fn f() {{\n{}    }}\n}}\n", "        x;\n".repeat(lines))
    };
    assert_eq!(lines(function_length("a", &function(78))), [0; 0]);
    assert_eq!(lines(function_length("a", &function(79))), [2]);
    let short = "trait T {\n    fn f(&self);\n}\n".to_owned() + &"x;\n".repeat(100);
    assert_eq!(lines(function_length("a", &short)), [0; 0]);
    let several = "fn f(\n    a: A,\n) -> B {\n".to_owned() + &"    x;\n".repeat(80) + "}\n";
    assert_eq!(lines(function_length("a", &several)), [1]);
}

#[test]
fn unsafe_code_is_found() {
    let good = "#![allow(unsafe_code)]\n// SAFETY: it is.\nunsafe { f() }\n";
    assert_eq!(lines(unsafe_fence("src/device/x.rs", good)), [0; 0]);
    assert_eq!(lines(unsafe_fence("src/engine/x.rs", good)), [3]);
    let silent = "#![allow(unsafe_code)]\n\nunsafe { f() }\n";
    assert_eq!(lines(unsafe_fence("src/device/x.rs", silent)), [3]);
    let public = "#![allow(unsafe_code)]\n// SAFETY: it is.\npub unsafe fn f() {}\n";
    assert_eq!(lines(unsafe_fence("src/device/x.rs", public)), [3]);
    assert_eq!(lines(unsafe_fence("src/device/x.rs", "unsafe { f() }\n")), [1, 1]);
}

#[test]
fn a_silent_exception_is_found() {
    assert_eq!(lines(explained_exceptions("a", "#[allow(dead_code)]\nfn f() {}\n")), [1]);
    let good = "#[expect(\n    dead_code,\n    reason = \"it is meant so\"\n)]\nfn f() {}\n";
    assert_eq!(lines(explained_exceptions("a", good)), [0; 0]);
    let later = "#[allow(dead_code)]\nconst X: &str = \"reason = \";\n";
    assert_eq!(lines(explained_exceptions("a", later)), [1]);
}

#[test]
fn unfinished_business_is_found() {
    let text = format!("fn f() {{\n    {}()\n}}\n// {}: more\n", "todo!", "TODO");
    assert_eq!(lines(nothing_unfinished("a", &text)), [2, 4]);
}

#[test]
fn a_long_example_is_found() {
    assert_eq!(lines(example_length("examples/echo.rs", &"x\n".repeat(26))), [26]);
    assert_eq!(lines(example_length("examples/http.rs", &"x\n".repeat(150))), [0; 0]);
    assert_eq!(lines(example_length("examples/http.rs", &"x\n".repeat(151))), [151]);
}

#[test]
fn a_target_that_is_not_there_is_found() {
    let page = "Run `make demo`, then `make coffee`.\n```\nmake test\nmake tea\n```\nmake it so\n";
    assert_eq!(lines(make_targets(page, "demo:\ntest: build\n")), [1, 4]);
}
