//! Reading the recipe of the image: those of its instructions that observer's has, and no others. Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// The recipe's argument for the program's path.
pub(super) const PROGRAM: &str = "OBSERVER";

/// The recipe's argument for the version.
pub(super) const VERSION: &str = "VERSION";

/// What the recipe says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) labels: BTreeMap<String, String>,
    /// The argument that names what is copied, and where to.
    pub(super) copy: (String, String),
    pub(super) user: String,
    pub(super) port: u16,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
}

impl Recipe {
    /// Reads a recipe's text, with values for its arguments.
    ///
    /// # Errors
    ///
    /// Names an instruction that an image of one file has no use for.
    pub(super) fn read(text: &str, values: &[(&str, &str)]) -> Result<Self> {
        let mut recipe = Self::default();
        let mut arguments = BTreeMap::new();
        for line in instructions(text) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let rest = rest.trim();
            match word {
                "FROM" if rest == "scratch" => {}
                "ARG" => {
                    let (name, default) = rest.split_once('=').unwrap_or((rest, ""));
                    let given = values.iter().find(|(one, _)| *one == name);
                    let value = given.map_or(default, |(_, value)| value);
                    arguments.insert(name.to_owned(), value.to_owned());
                }
                "LABEL" => recipe.labels.extend(labels(rest, &arguments)?),
                "COPY" => {
                    let (from, to) = rest.split_once(' ').context("COPY names no place")?;
                    let from = from.trim_start_matches("${").trim_end_matches('}');
                    recipe.copy = (from.to_owned(), to.trim().to_owned());
                }
                "USER" => rest.clone_into(&mut recipe.user),
                "EXPOSE" => recipe.port = rest.parse().context("EXPOSE names no port")?,
                "ENTRYPOINT" => recipe.entrypoint = words(rest)?,
                "CMD" => recipe.command = words(rest)?,
                _ => bail!("the Containerfile has `{line}`, which the image is not made by"),
            }
        }
        Ok(recipe)
    }
}

/// Instructions, each in one line, without comments.
fn instructions(text: &str) -> Vec<String> {
    let kept: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = kept.join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn words(json: &str) -> Result<Vec<String>> {
    serde_json::from_str(json).with_context(|| format!("{json} is no list of words"))
}

/// `name="value"`, any number of them.
fn labels(text: &str, arguments: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let mut labels = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").context("a label without value")?;
        let (value, after) = after.split_once('"').context("a label without end")?;
        let value = arguments
            .iter()
            .fold(value.to_owned(), |value, (name, is)| value.replace(&format!("${{{name}}}"), is));
        labels.push((name.trim().to_owned(), value));
        rest = after.trim();
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_that_is_there_is_understood() {
        let text = include_str!("../../../../deploy/container/Containerfile");
        let recipe = Recipe::read(text, &[(VERSION, "9.8.7")]).expect("a recipe");
        assert_eq!(recipe.copy, (PROGRAM.to_owned(), "/usr/bin/observer".to_owned()));
        assert_eq!(recipe.entrypoint, ["/usr/bin/observer"]);
        assert_eq!(recipe.command, ["export", "--listen", "0.0.0.0:9435"]);
        assert_eq!((&*recipe.user, recipe.port), ("0:0", 9435));
        assert_eq!(recipe.labels["org.opencontainers.image.version"], "9.8.7");
        assert_eq!(recipe.labels["org.opencontainers.image.licenses"], "MIT OR Apache-2.0");
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        let said =
            Recipe::read("FROM scratch\nRUN true\n", &[]).expect_err("an instruction").to_string();
        assert!(said.contains("RUN true"), "{said}");
        assert!(Recipe::read("FROM debian\n", &[]).is_err());
    }
}
