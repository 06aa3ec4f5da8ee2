//! Hands the bare-metal binary its linker script; a build for the host needs none.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=linker.ld");
    println!("cargo:rerun-if-changed=src/entry.s");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = Path::new(&folder).join("linker.ld");
    println!("cargo:rustc-link-arg-bin=tollgate=-T{}", script.display());
}
