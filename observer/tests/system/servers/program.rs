//! Programs of Debian's packages: installed, or unpacked under the target directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a skip says first (`xtask/src/not_run.rs`).
const NONE: &str = "no server of Debian";

/// A program, and the tree that its package was unpacked into; `None` for one that is installed.
pub struct Program {
    pub path: PathBuf,
    pub root: Option<PathBuf>,
}

impl Program {
    /// The program whose name begins so, of this package.
    pub fn find(package: &str, name: &str) -> Option<Self> {
        let installed = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
        if let Some(path) = installed.iter().find_map(|directory| beginning(directory, name)) {
            return Some(Self { path, root: None });
        }
        let root = tools("servers")?.join("servers").join(package);
        let places = ["usr/sbin", "usr/bin"].map(|place| root.join(place));
        let path = places.iter().find_map(|directory| beginning(directory, name))?;
        Some(Self { path, root: Some(root) })
    }

    /// Why it is not here.
    pub fn lacks(package: &str, name: &str) -> Option<String> {
        let found = Self::find(package, name).is_some();
        (!found).then(|| format!("{NONE} here: {package} is neither installed nor unpacked"))
    }

    /// A command that runs it, with the libraries that came with it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        self.lend(&mut command);
        command
    }

    /// Lets a command find what came with it.
    pub fn lend(&self, command: &mut Command) {
        let Some(root) = &self.root else { return };
        let libraries = ["usr/lib", "lib"].map(|place| root.join(place));
        let libraries = libraries.iter().filter_map(|directory| ending(directory, "-linux-gnu"));
        let path = env::join_paths(libraries).unwrap_or_default();
        command.env("LD_LIBRARY_PATH", path);
        command.env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"));
    }

    /// A file or directory of its package.
    pub fn place(&self, path: &str) -> PathBuf {
        self.root.as_deref().unwrap_or(Path::new("/")).join(path)
    }
}

/// The tools under the target directory that have this directory: it is above this program, or in its usual place.
pub fn tools(of: &str) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let mut directories = program.ancestors().chain([usual.as_path()]);
    directories.find_map(|directory| {
        let tools = directory.join("tools");
        tools.join(of).is_dir().then_some(tools)
    })
}

/// The first file in a directory whose name is this, or begins so.
fn beginning(directory: &Path, name: &str) -> Option<PathBuf> {
    let whole = directory.join(name);
    if whole.is_file() {
        return Some(whole);
    }
    // A version may follow: php-fpm8.2.
    let versioned = |path: &PathBuf| {
        let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    entries(directory).find(versioned)
}

fn ending(directory: &Path, name: &str) -> Option<PathBuf> {
    entries(directory).find(|path| path.to_str().is_some_and(|path| path.ends_with(name)))
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}
