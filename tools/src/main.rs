//! The binary `vmm`; everything is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::cli::main()
}
