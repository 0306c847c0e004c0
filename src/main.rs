//! The `sidestep` command: everything is in [`sidestep::cli`].

fn main() -> std::process::ExitCode {
    sidestep::cli::main()
}
