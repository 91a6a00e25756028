//! What the kernel holds of observer, by observer's own hidden command.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Result, bail};
use serde_json::Value;

/// Objects of one kind, `program` or `map`, that are loaded now, by their ids.
pub(super) fn inventory(observer: &str, what: &str) -> Result<BTreeMap<u64, Value>> {
    let output = Command::new(observer).arg("inventory").output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    let items = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let items = items.into_iter().filter(|item| item["what"] == what);
    Ok(items.filter_map(|item| Some((item["id"].as_u64()?, item))).collect())
}
