//! Hands the linker its script. Only the kernel itself needs one: on a host,
//! where the logic is tested, the package links like any other.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=linker.ld");
    let bare = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let (true, Some(package)) = (bare, env::var_os("CARGO_MANIFEST_DIR")) {
        let script = PathBuf::from(package).join("linker.ld");
        println!("cargo:rustc-link-arg-bin=kernel=-T{}", script.display());
        // The symbols stay, to find an EIP; line tables would be four fifths of the file.
        println!("cargo:rustc-link-arg-bin=kernel=--strip-debug");
    }
}
