//! Compiles the XDP programs that are measured, and notes what compiles the rest.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    note_compiler();
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=../bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets this"));
    let mut arguments: Vec<OsString> =
        ["-Wall", "-Wextra", "-Werror", "-mcpu=v3"].into_iter().map(Into::into).collect();
    // Where Debian keeps asm/types.h, which clang does not look for when the target is bpf.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let asm = PathBuf::from(format!("/usr/include/{arch}-linux-gnu"));
    if asm.exists() {
        arguments.extend(["-idirafter".into(), asm.into()]);
    }
    SkeletonBuilder::new()
        .source("bpf/syn.bpf.c")
        .obj(out.join("syn.bpf.o"))
        .clang(env::var_os("CLANG").unwrap_or_else(|| "clang".into()))
        .clang_args(arguments)
        .build()
        .unwrap_or_else(|error| panic!("the programs to measure do not build: {error:#}"));
}

/// Instruction counts are comparable only between programs of the same compiler.
fn note_compiler() {
    let rustc = env::var_os("RUSTC").expect("cargo sets this");
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout);
    println!("cargo:rustc-env=BENCH_RUSTC={}", version.trim());
}
