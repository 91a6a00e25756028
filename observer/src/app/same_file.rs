//! Whether two files are one.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

/// Whether these are of the same regular file, whatever its names are.
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_matter_and_devices_are_no_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let [one, link, other] = ["one", "link", "other"].map(|name| directory.path().join(name));
        std::fs::write(&one, "x").expect("written");
        std::fs::write(&other, "x").expect("written");
        std::fs::hard_link(&one, &link).expect("linked");
        let open = |path: &std::path::Path| std::fs::metadata(path).expect("there");
        assert!(is_same(&open(&one), &open(&link)));
        assert!(!is_same(&open(&one), &open(&other)));
        let null = std::path::Path::new("/dev/null");
        assert!(!is_same(&open(null), &open(null)));
    }
}
