//! Observing must not change what is observed, and nobody on the host can hurt it: what other processes do
//! or hold keeps no report back, and costs no more than its due.

pub mod fuse;
mod many_descriptors;
mod namespaces;
mod reports;
mod short_lived;
mod silent_files;
mod spinning;

use anyhow::bail;
use serde_json::Value;

use crate::{Outcome, Test};

pub fn tests() -> Vec<Test> {
    [
        silent_files::tests(),
        many_descriptors::tests(),
        spinning::tests(),
        namespaces::tests(),
        short_lived::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Plays one of these roles.
pub fn play(role: &str) -> Outcome {
    match role {
        "harmless-fuse" => fuse::play(fuse::Trap::readiness()),
        "harmless-silent" => silent_files::serve(),
        "harmless-many" => many_descriptors::serve(),
        "harmless-spinning" => spinning::serve(),
        "harmless-namespaces" => namespaces::serve(),
        "harmless-within" => namespaces::within(),
        "harmless-short-lived" => short_lived::serve(),
        other => bail!("no role {other}"),
    }
}

/// Says on standard error what was measured, for whoever makes a table of it.
fn figure(figure: &Value) {
    eprintln!("figure harmless {figure}");
}
