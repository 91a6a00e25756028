//! Python packages for the tests, in an environment of their own under the target directory: what knows the schemas of
//! Kubernetes, of the Prometheus Operator, and of workflows.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace::Workspace};

/// What stands for them among what set-up could not get.
pub(crate) const NAME: &str = "Python packages for tests";

/// The packages, each in the version that the tests were written for.
const PACKAGES: [&str; 3] = [
    "check-jsonschema==0.39.0",
    "kubernetes-validate==1.37.0",
    "cloudcoil-models-prometheus-operator==0.80.1.0",
];

/// Whether the environment was made, with these packages.
pub(crate) fn is_made(workspace: &Workspace) -> bool {
    let list = workspace.tools().join("python").join(LIST);
    fs::read_to_string(list).is_ok_and(|list| list == PACKAGES.join("\n"))
}

/// The file that says what was installed.
const LIST: &str = "packages.txt";

/// Whether Python can make environments: Debian has that in a package of its own.
pub(crate) fn makes_environments() -> bool {
    process::ask(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_some()
}

/// Makes the environment.
pub(crate) fn make(workspace: &Workspace) -> Result<()> {
    let kept = workspace.tools().join("python");
    eprintln!("setup: installing {} into {}", PACKAGES.join(" and "), kept.display());
    if kept.exists() {
        fs::remove_dir_all(&kept)
            .with_context(|| format!("{} could not be removed", kept.display()))?;
    }
    let mut environment = Command::new("python3");
    environment.args(["-m", "venv"]).arg(&kept);
    run(environment)?;
    let mut install = Command::new(kept.join("bin/python"));
    install.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]);
    run({
        install.args(PACKAGES);
        install
    })?;
    // Last: what was broken off is made anew.
    fs::write(kept.join(LIST), PACKAGES.join("\n"))
        .with_context(|| format!("{} could not be written", kept.join(LIST).display()))
}

fn run(command: Command) -> Result<()> {
    let (status, output) = process::capture(command)?;
    if !status.success() {
        bail!("{}", reason(&output));
    }
    Ok(())
}

/// The line of pip's or Python's words that says why.
fn reason(output: &str) -> &str {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .find(|line| line.starts_with("WARNING: Retrying"))
        .or_else(|| lines().find(|line| line.starts_with("ERROR: ")))
        .or_else(|| lines().next_back())
        .unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::reason;
    use crate::unfetched::is_unfetched;

    #[test]
    fn a_package_index_out_of_reach_is_the_reason() {
        let said = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(\
                    '[Errno -3] Temporary failure in name resolution')': /simple/a/\n\
                    ERROR: Could not find a version that satisfies the requirement a==1\n";
        assert!(is_unfetched(reason(said)), "{}", reason(said));
        let unknown = "ERROR: No matching distribution found for a==1\n";
        assert_eq!(reason(unknown), unknown.trim());
        assert!(!is_unfetched(reason(unknown)));
        assert_eq!(reason(""), "it said nothing");
    }
}
