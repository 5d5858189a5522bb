//! Builds the C++ shim against libtorch's headers and tells dependants where
//! libtorch is, so that each binary can set its rpath.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/ffi.rs");
    println!("cargo:rerun-if-changed=src/optim/ffi.rs");
    println!("cargo:rerun-if-changed=shim");
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    let lib = libtorch.join("lib").canonicalize().unwrap_or_else(|error| {
        panic!("no libtorch at {}: {error}; run `cargo xtask setup`", libtorch.display())
    });

    cxx_build::bridges(["src/ffi.rs", "src/optim/ffi.rs"])
        .file("shim/shim.cpp")
        .file("shim/optim.cpp")
        .include("shim")
        .include(libtorch.join("include"))
        .std("c++20")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        // libtorch's headers are not free of warnings.
        .warnings(false)
        .compile("counterstain_torch_shim");

    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    println!("cargo:libdir={}", lib.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
