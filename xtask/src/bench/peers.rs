//! Other people's tools for a guest, with the libraries that they need: from Debian's archive, kept
//! under the target directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{arch::Arch, archive::Suite};

/// Suite and packages that the tools and their libraries come from.
const SUITE: &str = "bookworm";
const PACKAGES: [&str; 4] = ["libbpf-tools", "libelf1", "zlib1g", "libc6"];

/// Tools to measure. `tcpsynbl` counts lengths of SYN queues, `tcptracer` tells every connect, accept and
/// close, `tcpstates` every change of a connection's state. The package has no `tcpaccept`.
pub(super) const TOOLS: [&str; 3] = ["tcpsynbl", "tcptracer", "tcpstates"];

/// Libraries of the tools, where the loader looks for them.
const LIBRARIES: [&str; 4] = [
    "lib64/ld-linux-x86-64.so.2",
    "lib/x86_64-linux-gnu/libc.so.6",
    "lib/x86_64-linux-gnu/libelf.so.1",
    "lib/x86_64-linux-gnu/libz.so.1",
];

/// Files for a guest, by their place in it.
///
/// # Errors
///
/// Says why they cannot be had.
pub(super) fn obtain(vm: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let kept = vm.join("peers");
    if !kept.is_dir() {
        eprintln!("bench: fetching {} from {SUITE}", PACKAGES.join(", "));
        let partial = vm.join("peers-partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).context("an earlier download cannot be removed")?;
        }
        fs::create_dir_all(&partial).context("no directory for peers")?;
        let packages = PACKAGES.map(str::to_owned);
        Suite::open(&vm.join("apt"), SUITE, Arch::X86_64)?.unpack(&packages, &partial)?;
        // It appears under its name when it is whole.
        fs::rename(&partial, &kept).context("the peers cannot be kept")?;
    }
    let mut files = BTreeMap::new();
    for tool in TOOLS {
        files.insert(format!("bin/{tool}"), find(&kept, &format!("sbin/{tool}"))?);
    }
    for library in LIBRARIES {
        files.insert(library.to_owned(), find(&kept, library)?);
    }
    Ok(files)
}

/// A file of the packages, which may have it under `usr` or not.
fn find(root: &Path, file: &str) -> Result<PathBuf> {
    let places = [root.join(file), root.join("usr").join(file)];
    match places.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("there is no {file} in the packages {}", PACKAGES.join(", ")),
    }
}
