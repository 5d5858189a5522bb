//! Tells dependants where libtorch is, so that each binary can set its rpath.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    let lib = libtorch.join("lib").canonicalize().unwrap_or_else(|error| {
        panic!("no libtorch at {}: {error}; run `cargo xtask setup`", libtorch.display())
    });
    println!("cargo:libdir={}", lib.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
