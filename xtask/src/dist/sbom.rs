//! The list of parts, for programs: CycloneDX 1.5. Pure.
//!
//! It is made here because the tools that make one of a Cargo package do not see what a build script compiles, which
//! is where the kernel programs are from, nor what comes with the compiler.

use anyhow::Result;
use serde_json::{Value, json};

use super::{contents::Crate, source::Source};
use crate::arch::Arch;

/// The list's name beside the program.
pub(super) const NAME: &str = "sbom.cdx.json";

/// What is linked in and is no crate: name, version, licence.
pub(super) type Part = (&'static str, String, &'static str);

/// The list, as a file's text.
pub(super) fn text(
    source: &Source,
    arch: Arch,
    crates: &[Crate],
    parts: &[Part],
) -> Result<String> {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(source.time);
    let this = format!("observer@{}", source.version);
    let mut components: Vec<Value> =
        crates.iter().filter(|one| one.reference() != this).map(library).collect();
    components.extend(parts.iter().map(|(name, version, licence)| {
        json!({
            "type": "library", "bom-ref": name, "name": name, "version": version,
            "licenses": [{"expression": licence}],
        })
    }));
    let mut dependencies: Vec<Value> = crates
        .iter()
        .map(|one| {
            let mut needs: Vec<_> = one.needs.iter().cloned().collect();
            if one.reference() == this {
                let kernel_side = crates.iter().filter(|one| one.name == "observer-ebpf");
                needs.extend(kernel_side.map(Crate::reference));
                needs.extend(parts.iter().map(|(name, ..)| (*name).to_owned()));
                needs.sort();
            }
            json!({"ref": one.reference(), "dependsOn": needs})
        })
        .collect();
    dependencies.extend(parts.iter().map(|(name, ..)| json!({"ref": name, "dependsOn": []})));
    let mut list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": humantime::format_rfc3339_seconds(time).to_string(),
            "component": {
                "type": "application", "bom-ref": this, "name": "observer", "version": source.version,
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "properties": [
                    {"name": "observer:commit", "value": source.commit},
                    {"name": "observer:architecture", "value": arch.to_string()},
                ],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    if let Some(homepage) = &source.homepage {
        let link = json!([{"type": "vcs", "url": homepage}]);
        list["metadata"]["component"]["externalReferences"] = link;
    }
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

fn library(one: &Crate) -> Value {
    let mut library = json!({
        "type": "library", "bom-ref": one.reference(), "name": one.name, "version": one.version,
    });
    if let Some(licence) = &one.licence {
        library["licenses"] = json!([{"expression": licence}]);
    }
    if let Some(checksum) = &one.checksum {
        library["purl"] = json!(format!("pkg:cargo/{}@{}", one.name, one.version));
        library["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    library
}

#[cfg(test)]
mod tests {
    use super::{super::contents::tests::example, *};

    #[test]
    fn every_part_is_named_once_and_can_be_followed() {
        let source = Source {
            version: "1.0.0".into(),
            commit: "abc".into(),
            time: 1_767_323_045,
            kernel_side: String::new(),
            homepage: Some("https://forge.example/observer".into()),
        };
        let parts = [("glibc", "2.36".to_owned(), "LGPL-2.1-or-later")];
        let text = text(&source, Arch::Aarch64, &example(), &parts).expect("JSON");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(list["metadata"]["timestamp"], "2026-01-02T03:04:05Z");
        let links = &list["metadata"]["component"]["externalReferences"];
        assert_eq!(links[0]["url"], "https://forge.example/observer");
        let components = list["components"].as_array().expect("a list");
        let mut known: Vec<_> = components.iter().map(|one| one["bom-ref"].clone()).collect();
        known.push(list["metadata"]["component"]["bom-ref"].clone());
        assert_eq!(known.len(), 6);
        let dependencies = list["dependencies"].as_array().expect("a list");
        assert_eq!(dependencies.len(), known.len());
        for dependency in dependencies {
            let needs = dependency["dependsOn"].as_array().expect("a list");
            assert!(needs.iter().chain([&dependency["ref"]]).all(|one| known.contains(one)));
        }
        let of_this = dependencies.iter().find(|one| one["ref"] == "observer@1.0.0").expect("it");
        assert_eq!(of_this["dependsOn"], json!(["a@1.0.0", "glibc", "observer-ebpf@1.0.0"]));
        assert_eq!(components[0]["purl"], "pkg:cargo/a@1.0.0");
    }
}
