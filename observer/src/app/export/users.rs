//! Users with passwords (HTTP's basic authentication).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{hmac, rand::SystemRandom};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// A hash that no password has, checked for users that there are not: the answer to them takes as long.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuIOq0Mv5lRAsHYJ1k3ZGJZXo3vUvOYnO";

/// Longest user with password that is looked at; bcrypt itself takes 72 bytes of a password.
const LONGEST: usize = 1024;

/// Those who may read metrics.
pub struct Users {
    /// Hashes of their passwords, by bcrypt.
    hashes: BTreeMap<String, String>,
    /// The key of what is in `known`, of this process only.
    key: hmac::Key,
    /// User and password that were right last, so that a scraper does not cost a hash each time.
    known: Mutex<BTreeMap<String, Vec<u8>>>,
    /// A hash takes a tenth of a second of a CPU: one is made at a time.
    turns: Semaphore,
}

impl Users {
    /// These, by name, with the bcrypt hash of each one's password.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub fn new(hashes: BTreeMap<String, String>) -> Result<Self, &'static str> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system gives no random numbers")?;
        Ok(Self { hashes, key, known: Mutex::default(), turns: Semaphore::new(1) })
    }

    /// Whether this `Authorization` is of one of them.
    pub async fn may(&self, authorization: Option<&str>) -> bool {
        let Some((user, password)) = authorization.and_then(parse) else { return false };
        if self.is_known(&user, &password) {
            return true;
        }
        let hash = self.hashes.get(&user);
        let (exists, hash) = (hash.is_some(), hash.map_or(NOBODY, String::as_str).to_owned());
        let Ok(_turn) = self.turns.acquire().await else { return false };
        let given = password.clone();
        let checked = spawn_blocking(move || bcrypt::verify(given, &hash).unwrap_or(false));
        let is_right = checked.await.unwrap_or(false) && exists;
        if is_right {
            self.remember(user, &password);
        }
        is_right
    }

    fn is_known(&self, user: &str, password: &[u8]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(user).is_some_and(|tag| hmac::verify(&self.key, password, tag).is_ok())
    }

    fn remember(&self, user: String, password: &[u8]) {
        let tag = hmac::sign(&self.key, password).as_ref().to_vec();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(user, tag);
    }
}

/// User and password of an `Authorization`.
fn parse(authorization: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > LONGEST {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::{NOBODY, Users, parse};

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_password_may_have_colons() {
        assert_eq!(parse(&basic("a:b:c")), Some(("a".to_owned(), b"b:c".to_vec())));
        for wrong in ["", "Basic", "Basic !", "Bearer YTpi", &basic("a"), &basic(&"a:".repeat(999))]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_who_knows_the_password_may() {
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        let users = BTreeMap::from([("prometheus".to_owned(), hash)]);
        let users = Users::new(users).expect("random numbers");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..2 {
                assert!(users.may(Some(&basic("prometheus:secret"))).await);
                for wrong in ["prometheus:Secret", "prometheus:", "nobody:secret", "prometheus"] {
                    assert!(!users.may(Some(&basic(wrong))).await, "{wrong}");
                }
                assert!(!users.may(None).await);
            }
        });
    }

    #[test]
    fn the_hash_of_nobody_is_one() {
        assert!(!bcrypt::verify("", NOBODY).expect("a hash that can be checked"));
    }
}
