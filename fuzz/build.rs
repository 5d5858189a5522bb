//! Targets that read weights find libtorch through their rpath.

fn main() {
    let lib = std::env::var("DEP_COUNTERSTAIN_TORCH_LIBDIR").expect("counterstain-torch states its libdir");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
