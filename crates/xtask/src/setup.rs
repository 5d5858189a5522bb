//! Set-up: system packages, libtorch, and the tools that tests and checks use.
//!
//! libtorch comes from the pip package of PyTorch, in a virtual environment under `target/python`;
//! `target/libtorch` is a link to it (or to `$LIBTORCH`), and `.cargo/config.toml` points there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{command, exists, exists_with, root, run};

/// The version that the `tch` crate of this workspace is made for.
const LIBTORCH: &str = "2.13.0";

/// System packages: a program that shows it is there, an argument that makes it answer, Debian's package.
const SYSTEM: [(&str, &str, &str); 3] =
    [("c++", "--version", "g++"), ("python3", "--version", "python3"), ("make", "--version", "make")];

/// Prepares what the feature `slide` of the command line needs: OpenSlide, and libclang that reads its header.
pub fn slides() -> Result<()> {
    let mut missing = Vec::new();
    if !Path::new("/usr/include/openslide/openslide.h").exists() {
        missing.push("libopenslide-dev");
    }
    if !exists("pkg-config", "--version") {
        missing.push("pkg-config");
    }
    let has_libclang = |folder: PathBuf| folder.join("lib/libclang.so.1").exists();
    let llvm = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    if !llvm.into_iter().any(has_libclang) {
        missing.push("libclang-dev");
    }
    install(&missing)
}

/// Prepares everything that builds need.
pub fn prepare() -> Result<()> {
    system_packages()?;
    let libtorch = libtorch()?;
    link_libtorch(&libtorch)?;
    eprintln!("libtorch {LIBTORCH}: {}", libtorch.display());
    Ok(())
}

/// Installs packages of Python tools into `target/python` and returns the folder of their programs.
pub fn python_tools(packages: &[&str]) -> Result<PathBuf> {
    let bin = virtual_environment()?;
    let pip = bin.join("pip");
    let mut arguments = vec!["install", "--quiet", "--disable-pip-version-check"];
    arguments.extend(packages);
    run(&mut command(&pip.to_string_lossy(), &arguments))?;
    Ok(bin)
}

/// Installs a cargo subcommand unless it is there.
pub fn cargo_tool(name: &str) -> Result<()> {
    let program = format!("cargo-{name}");
    if exists(&program, "--version") {
        return Ok(());
    }
    // A tool of its own: it must not see the workspace's libtorch or its target folder.
    run(command("cargo", &["install", "--locked", "--debug", &program]).env_remove("LIBTORCH"))
}

fn system_packages() -> Result<()> {
    let mut missing: Vec<&str> =
        SYSTEM.iter().filter(|(program, probe, _)| !exists(program, probe)).map(|row| row.2).collect();
    if exists("python3", "--version") && !python_has("ensurepip") {
        missing.push("python3-venv");
    }
    install(&missing)
}

/// Installs Debian packages as root, else names them.
fn install(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
    if !is_root || !exists("apt-get", "--version") {
        bail!("missing system packages; install them first: apt-get install {}", missing.join(" "));
    }
    run(&mut command("apt-get", &["update", "-qq"]))?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing);
    run(command("apt-get", &arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn python_has(module: &str) -> bool {
    exists_with("python3", &["-c", &format!("import {module}")])
}

/// The folder of libtorch: `$LIBTORCH`, an earlier set-up, or a new pip package.
fn libtorch() -> Result<PathBuf> {
    // Cargo sets LIBTORCH from .cargo/config.toml when nobody else did; that one is ours.
    let ours = root().join("target/libtorch");
    if let Some(theirs) = std::env::var_os("LIBTORCH").map(PathBuf::from).filter(|path| *path != ours) {
        check_version(&theirs).context("the LIBTORCH of the environment cannot be used")?;
        return fs::canonicalize(&theirs).with_context(|| theirs.display().to_string());
    }
    if check_version(&ours).is_ok() {
        return Ok(fs::canonicalize(ours)?);
    }
    let bin = python_tools(&[&format!("torch=={LIBTORCH}")])?;
    let environment = bin.parent().context("a virtual environment has a bin folder")?;
    let torch = fs::read_dir(environment.join("lib"))?
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/torch")))
        .find(|path| path.is_dir())
        .context("pip installed torch, but its folder is not there")?;
    check_version(&torch)?;
    Ok(torch)
}

fn virtual_environment() -> Result<PathBuf> {
    let folder = root().join("target/python");
    if !exists(&folder.join("bin/pip").to_string_lossy(), "--version") {
        run(&mut command("python3", &["-m", "venv", "--clear", &folder.to_string_lossy()]))?;
    }
    Ok(folder.join("bin"))
}

/// Reads `build-version` (libtorch archives) or `version.py` (pip packages).
fn check_version(libtorch: &Path) -> Result<()> {
    let read = |name: &str| fs::read_to_string(libtorch.join(name)).ok();
    let version = read("build-version").map(|text| text.trim().to_owned()).or_else(|| {
        let text = read("version.py")?;
        let line = text.lines().find(|line| line.starts_with("__version__"))?;
        Some(line.split(['\'', '"']).nth(1)?.to_owned())
    });
    match version {
        Some(version) if version.split('+').next() == Some(LIBTORCH) => Ok(()),
        Some(version) => bail!("{} is libtorch {version}, but {LIBTORCH} is needed", libtorch.display()),
        None => bail!("{} holds neither build-version nor version.py: it is no libtorch", libtorch.display()),
    }
}

fn link_libtorch(libtorch: &Path) -> Result<()> {
    let link = root().join("target/libtorch");
    if fs::canonicalize(&link).is_ok_and(|current| current == libtorch) {
        return Ok(());
    }
    fs::create_dir_all(root().join("target"))?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    std::os::unix::fs::symlink(libtorch, &link).with_context(|| format!("cannot make {}", link.display()))
}
