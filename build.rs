//! With the feature `af-xdp`, compiles the XDP program under bpf/ and generates its Rust skeleton
//! into `OUT_DIR`. Without it there is nothing to do, and neither clang nor libelf is needed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "af-xdp")]
    if let Err(why) = bpf::build() {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

#[cfg(feature = "af-xdp")]
mod bpf {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::{env, fs};

    use libbpf_cargo::SkeletonBuilder;

    const WAY_OUT: &str = "\
        install what is missing with `make setup` (or deploy/setup.sh), or build without AF_XDP: \
        `cargo build --no-default-features --features cli,kernel,tap`";

    pub(super) fn build() -> Result<(), String> {
        println!("cargo:rerun-if-changed=bpf");
        println!("cargo:rerun-if-env-changed=CLANG");
        let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
        check(&clang)?;
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
        let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets this")?);
        SkeletonBuilder::new()
            .source(root.join("bpf/steer.bpf.c"))
            .clang(&clang)
            .clang_args(arguments())
            // A minimal toolchain has a `rustfmt` that only fails: skip what nobody reads anyway.
            .rustfmt("no-rustfmt-needed")
            .build_and_generate(out.join("steer.skel.rs"))
            .map_err(|error| format!("the XDP program does not build: {error:#}\n{WAY_OUT}"))
    }

    fn check(clang: &OsString) -> Result<(), String> {
        let name = Path::new(clang).display();
        let answer = match Command::new(clang).arg("--print-targets").output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => {
                return Err(format!(
                    "the feature `af-xdp` needs clang to compile the XDP program, and running \
                     `{name}` failed: {error}.\n{WAY_OUT}"
                ));
            }
        };
        if answer.split_whitespace().any(|word| word == "bpf") {
            return Ok(());
        }
        Err(format!("`{name}` cannot compile for BPF (no such target in it).\n{WAY_OUT}"))
    }

    fn arguments() -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["-Wall", "-Wextra", "-Werror", "-mcpu=v3"].into_iter().map(Into::into).collect();
        // Where Debian keeps asm/types.h, which clang does not look for when the target is bpf.
        let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
        let asm = PathBuf::from(format!("/usr/include/{arch}-linux-gnu"));
        if fs::exists(&asm).unwrap_or(false) {
            arguments.push("-idirafter".into());
            arguments.push(asm.into());
        }
        arguments
    }
}
