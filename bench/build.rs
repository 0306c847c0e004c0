//! Compiles the XDP programs that are measured, and lwIP if it is there, and notes what compiles
//! the rest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use libbpf_cargo::SkeletonBuilder;

fn main() {
    note_compiler();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets this"));
    xdp(&out);
    lwip(&out);
}

fn xdp(out: &Path) {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=../bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
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

/// Sets `cfg(lwip)` if its sources are there and can be compiled, and else `LWIP_MISSING`, which
/// says why not: a peer that is missing fails no build.
fn lwip(out: &Path) {
    println!("cargo:rustc-check-cfg=cfg(lwip)");
    println!("cargo:rerun-if-changed=lwip");
    println!("cargo:rerun-if-env-changed=LWIP_DIR");
    let folder = env::var_os("LWIP_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let ours = PathBuf::from("../target/lwip");
        // Of a folder that is not there, cargo would think at each build that it has changed.
        let _ = fs::create_dir_all(&ours);
        ours
    });
    println!("cargo:rerun-if-changed={}", folder.display());
    let sources = folder.join("src");
    let missing = if !sources.join("core/tcp.c").exists() {
        "no sources; `make lwip` fetches them"
    } else if let Err(error) = compile_lwip(&sources, out) {
        println!("cargo:warning=lwIP does not build and is not measured: {error}");
        "its sources do not build"
    } else {
        println!("cargo:rustc-cfg=lwip");
        ""
    };
    println!("cargo:rustc-env=LWIP_MISSING={missing}");
}

/// As one unit, so that it is optimised across its files as Rust's crates are. It casts between
/// types of connections, for which a compiler that sees all of it needs leave.
fn compile_lwip(sources: &Path, out: &Path) -> io::Result<()> {
    let mut files = vec![sources.join("netif/ethernet.c")];
    for folder in ["core", "core/ipv4"] {
        for entry in fs::read_dir(sources.join(folder))? {
            files.push(entry?.path());
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "c"));
    files.sort();
    files.push(PathBuf::from("lwip/glue.c"));
    let mut unit = String::new();
    for file in files {
        unit += &format!("#include \"{}\"\n", file.canonicalize()?.display());
    }
    let file = out.join("lwip.c");
    fs::write(&file, unit)?;
    let mut build = cc::Build::new();
    build.file(file).include("lwip").include(sources.join("include"));
    build.opt_level(3).flag("-fno-strict-aliasing").warnings(false).cargo_warnings(false);
    if let Some(cpu) = target_cpu() {
        build.flag_if_supported(format!("-march={cpu}"));
    }
    build.try_compile("lwip").map_err(io::Error::other)
}

/// The processor that Rust is told to compile for, if it is told.
fn target_cpu() -> Option<String> {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").ok()?;
    let cpus = flags.split('\x1f').map(|flag| flag.strip_prefix("-C").unwrap_or(flag));
    cpus.filter_map(|flag| flag.strip_prefix("target-cpu=")).next_back().map(String::from)
}

/// Instruction counts are comparable only between programs of the same compiler.
fn note_compiler() {
    let rustc = env::var_os("RUSTC").expect("cargo sets this");
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout);
    println!("cargo:rustc-env=BENCH_RUSTC={}", version.trim());
}
