//! The `counterstain` command.

fn main() -> std::process::ExitCode {
    counterstain_cli::main()
}
