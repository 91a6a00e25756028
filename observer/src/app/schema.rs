//! `observer schema`: JSON Schema of what observer writes, and its reference for people.

mod reference;

use anyhow::{Context as _, Result};
use observer::schema::document;

use crate::app::cli::{SchemaArgs, SchemaFormat};

/// What `observer schema` prints.
///
/// # Errors
///
/// When there is no such kind of document.
pub fn text(args: &SchemaArgs) -> Result<String> {
    let schema = document(args.document.as_deref()).context("no such document")?;
    Ok(match args.format {
        SchemaFormat::Json => format!("{schema:#}\n"),
        SchemaFormat::Markdown => reference::page(&schema),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(format: SchemaFormat) -> String {
        text(&SchemaArgs { document: None, format }).expect("all documents")
    }

    #[test]
    fn the_schema_in_docs_is_the_one_that_is_printed() {
        let stale = "docs/schema.json is stale: cargo run -p observer -- schema > docs/schema.json";
        assert!(whole(SchemaFormat::Json) == include_str!("../../../docs/schema.json"), "{stale}");
    }

    #[test]
    fn the_reference_in_docs_is_made_from_the_schema() {
        let stale = "docs/json.md is stale: \
                     cargo run -p observer -- schema --format markdown > docs/json.md";
        assert!(whole(SchemaFormat::Markdown) == include_str!("../../../docs/json.md"), "{stale}");
    }
}
